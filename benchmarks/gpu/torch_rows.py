#!/usr/bin/env python3
"""PyTorch's allocator on the workloads of speed.cu, called without tensors; prints nothing but a reason without a GPU."""

import random
import statistics
import sys
import time

try:
    import torch
    from torch.cuda.memory import caching_allocator_alloc as allocate, caching_allocator_delete as deallocate
except ImportError as reason:
    print(f"PyTorch is left out: {reason}")
    sys.exit(0)
if not torch.cuda.is_available():
    print("PyTorch is left out: it finds no GPU")
    sys.exit(0)


def measure(what, count, run):
    times = []
    for _ in range(5):
        start = time.perf_counter_ns()
        run()
        times.append((time.perf_counter_ns() - start) / count)
    print(f"| {what:<60} | {statistics.median(times):12.1f} |")


def empty_calls():
    for _ in range(10_000):
        min(0, 1)


def pairs():
    for _ in range(10_000):
        deallocate(allocate(1 << 20))


rng = random.Random(1)
live = [allocate(rng.randint(1, 1 << 20)) for _ in range(10_000)]


def random_sizes():
    for _ in range(10_000):
        k = rng.randrange(len(live))
        deallocate(live[k])
        live[k] = allocate(rng.randint(1, 1 << 20))


deallocate(allocate(1 << 20))
measure("(one call of a builtin from Python, for comparison)", 10_000, empty_calls)
measure(f"PyTorch {torch.__version__} from Python, hot pair of 1 MiB", 10_000, pairs)
measure(f"PyTorch {torch.__version__} from Python, random, 10^4 live", 20_000, random_sizes)
for address in live:
    deallocate(address)
