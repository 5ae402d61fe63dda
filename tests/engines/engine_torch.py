#!/usr/bin/env python3
"""PyTorch on our memory: a decoder's forward and 64 generated tokens, equal to the last bit, with CPU tensors on our columns.

    engine_torch.py LIB_DIR SOURCE_DIR      LIB_DIR holds libtokenheap_torch_cpu.so; 77 without PyTorch or without it

One process of one thread for each allocator; they take turns, and processor time is what counts, so that what else the
machine does falls on all of them alike.
"""

import collections
import ctypes
import json
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time

from worker import Worker

COLUMNS = ("heap", "slabs", "ranges")
REPEATS = int(os.environ.get("TOKENHEAP_ENGINE_REPEATS", "5"))
BATCH, PROMPT, TOKENS, SEED = 4, 64, 64, 17
SMALL, LARGE = 20000, 8  # tensors of 1 KiB that are made and dropped, and of 64 MiB that are filled too
Shape = collections.namedtuple("Shape", "layers width hidden heads kv_heads vocabulary")
SHAPE = Shape(layers=6, width=512, hidden=1376, heads=8, kv_heads=2, vocabulary=4096)


def library(folder):
    lib = ctypes.CDLL(str(pathlib.Path(folder) / "libtokenheap_torch_cpu.so"))
    lib.tokenheap_torch_cpu_install.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    lib.tokenheap_torch_cpu_stats.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    lib.tokenheap_torch_cpu_stats.restype = ctypes.c_size_t
    return lib


def figures(lib):
    room = ctypes.create_string_buffer(512)
    assert lib.tokenheap_torch_cpu_stats(room, len(room)) == len(room.value)
    return json.loads(room.value)


def resident(key):
    """VmRSS or VmHWM of this process in bytes."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


def decoder(of=SHAPE):
    """A decoder-only transformer of random weights: RMSNorm, rotary positions, grouped queries, SwiGLU, a cache of keys."""
    import torch
    from torch import nn

    size = of.width // of.heads

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q = nn.Linear(of.width, of.heads * size, bias=False)
            self.kv = nn.Linear(of.width, 2 * of.kv_heads * size, bias=False)
            self.o = nn.Linear(of.heads * size, of.width, bias=False)

        def forward(self, x, turn, cache):
            batch, length, _ = x.shape
            q = rotate(self.q(x).view(batch, length, of.heads, size).transpose(1, 2), turn)
            k, v = self.kv(x).view(batch, length, 2 * of.kv_heads, size).transpose(1, 2).chunk(2, 1)
            k = rotate(k, turn)
            if cache is not None:
                k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
            each = of.heads // of.kv_heads
            y = nn.functional.scaled_dot_product_attention(
                q, k.repeat_interleave(each, 1), v.repeat_interleave(each, 1), is_causal=cache is None)
            return self.o(y.transpose(1, 2).reshape(batch, length, -1)), (k, v)

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.RMSNorm(of.width), nn.RMSNorm(of.width)
            self.attention = Attention()
            self.gate, self.up = (nn.Linear(of.width, of.hidden, bias=False) for _ in range(2))
            self.down = nn.Linear(of.hidden, of.width, bias=False)

        def forward(self, x, turn, cache):
            y, cache = self.attention(self.first(x), turn, cache)
            x = x + y
            z = self.second(x)
            return x + self.down(nn.functional.silu(self.gate(z)) * self.up(z)), cache

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(of.vocabulary, of.width)
            self.layers = nn.ModuleList(Layer() for _ in range(of.layers))
            self.norm = nn.RMSNorm(of.width)
            self.head = nn.Linear(of.width, of.vocabulary, bias=False)

        def forward(self, tokens, caches=None):
            past = 0 if caches is None else caches[0][0].shape[2]
            x, turn, made = self.embed(tokens), angles(past, tokens.shape[1], tokens.device), []
            for k, layer in enumerate(self.layers):
                x, cache = layer(x, turn, None if caches is None else caches[k])
                made.append(cache)
            return self.head(self.norm(x)), made

    def angles(past, length, device):
        steps = 10000.0 ** (-torch.arange(0, size, 2, device=device).float() / size)
        turns = torch.outer(torch.arange(past, past + length, device=device).float(), steps)
        return torch.cos(turns), torch.sin(turns)

    def rotate(x, turn):
        a, b = x[..., ::2], x[..., 1::2]
        return torch.stack((a * turn[0] - b * turn[1], a * turn[1] + b * turn[0]), -1).flatten(-2).type_as(x)

    torch.manual_seed(SEED)
    return Decoder().eval()


def generate(model, prompt, count=TOKENS):
    """Greedy: the tokens, and the logits of the last one."""
    import torch

    with torch.inference_mode():
        logits, caches = model(prompt)
        made = [logits[:, -1].argmax(-1, keepdim=True)]
        while len(made) != count:
            logits, caches = model(made[-1], caches)
            made.append(logits[:, -1].argmax(-1, keepdim=True))
        return torch.cat(made, 1), logits


def prompt_of(of=SHAPE):
    import torch

    return torch.randint(0, of.vocabulary, (BATCH, PROMPT), generator=torch.Generator().manual_seed(SEED))


def runs_of(model, prompt):
    """What is compared: one pass over the prompt, and a greedy generation."""
    import torch

    def forward():
        with torch.inference_mode():
            return model(prompt)[0]

    return {"forward": forward, "generate": lambda: generate(model, prompt)}


def worker(folder, column):
    """Answers commands from standard input with one line of JSON each."""
    import torch

    torch.set_num_threads(1)
    lib = library(folder)
    before = resident("VmRSS")
    assert lib.tokenheap_torch_cpu_install(column.encode(), 0) == 0
    runs = runs_of(decoder(), prompt_of())

    def small():
        for _ in range(SMALL):
            torch.empty(256)
        return torch.zeros(256)

    def large():
        for _ in range(LARGE):
            made = torch.ones(16 << 20)
        return made[::4096].clone()

    runs |= {"small": small, "large": large}
    for line in sys.stdin:
        command, _, path = line.strip().partition(" ")
        if command in runs:
            count, start = figures(lib)["allocations"], time.process_time()
            made = runs[command]()
            spent = time.process_time() - start
            if path:
                torch.save(made, path)
            answer = {"seconds": spent, "allocations": figures(lib)["allocations"] - count}
        else:
            answer = figures(lib) | {"resident_peak": resident("VmHWM") - before}
        print(json.dumps(answer), flush=True)


def is_equal(a, b):
    import torch

    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(is_equal, a, b))
    return torch.equal(a, b)


def percent(above, of):
    return None if not of else round(100 * (above - of) / of, 2)


def take_turns(workers, runs=("forward", "generate")):
    """What each worker made, counted in its first run and took in the others: outputs, allocations, medians of seconds."""
    import torch

    times, outputs, first = {}, {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(REPEATS + 1):
            for what in runs:
                for name, one in workers.items():
                    path = f"{scratch}/{name}.{what}"
                    answer = one.ask(f"{what} {path}" if turn == 0 else what)
                    if turn == 0:  # the first is for the output, and warms up
                        outputs[name, what], first[name, what] = torch.load(path), answer["allocations"]
                    else:
                        times.setdefault((name, what), []).append(answer["seconds"])
    return outputs, first, {key: statistics.median(all_of) for key, all_of in times.items()}


def compare(folder):
    """The rows of all columns against PyTorch's own allocator; True if every output was equal."""
    import torch

    workers = {name: Worker(__file__, folder, name) for name in ("own",) + COLUMNS}
    runs = ("forward", "generate", "small", "large")
    outputs, first, middle = take_turns(workers, runs[:2])
    ends = {name: one.ask("figures") for name, one in workers.items()}  # before the large tensors
    more = take_turns(workers, runs[2:])
    outputs, first, middle = (a | b for a, b in zip((outputs, first, middle), more))
    after = {name: one.ask("figures") for name, one in workers.items()}
    for one in workers.values():
        one.end()
    own, good = ends["own"], True
    each = lambda name, what, count, unit: f"{middle[name, what] / count * unit:.{1 if unit == 1e3 else 0}f}"
    for name in COLUMNS:
        ours, mib = ends[name], 1 << 20
        equal = all(is_equal(outputs["own", what], outputs[name, what]) for what in runs)
        good &= equal
        slower = {what: percent(middle[name, what], middle["own", what]) for what in ("forward", "generate")}
        print("ROW " + json.dumps({
            "engine": "PyTorch, CPU tensors", "version": torch.__version__, "door": f"adapt/torch_cpu.hpp, column {name}",
            "what": f"decoder of {SHAPE.layers} layers, {TOKENS} tokens for {BATCH} requests",
            "output": "equal" if equal else "different", "allocations": first[name, "generate"],
            "peak_bytes": ours["held_peak"], "engine_peak_bytes": own["held_peak"],
            "waste_percent": percent(ours["held_peak"], ours["asked_peak"]),
            "engine_waste_percent": percent(own["held_peak"], ours["asked_peak"]), "overhead_percent": slower["generate"],
            "note": f"forward alone {slower['forward']:+} %; generate {middle[name, 'generate'] * 1000:.0f} ms, own "
                    f"{middle['own', 'generate'] * 1000:.0f} ms; resident peak of the process above its start "
                    f"{ours['resident_peak'] / mib:.0f} MiB, own {own['resident_peak'] / mib:.0f} MiB; "
                    f"a tensor of 64 MiB made and filled {each(name, 'large', LARGE, 1e3)} ms, own "
                    f"{each('own', 'large', LARGE, 1e3)} ms; of 1 KiB made and dropped {each(name, 'small', SMALL, 1e9)} ns, own "
                    f"{each('own', 'small', SMALL, 1e9)} ns; one thread, processor time, median of {REPEATS} turns"}))
        assert ours["refused"] == 0 and ours["live"] > 0
    print("ROW " + json.dumps({
        "engine": "PyTorch, CPU tensors", "version": torch.__version__, "door": "adapt/torch_cpu.hpp, column ranges",
        "what": f"{LARGE} tensors of 64 MiB, made, filled and dropped",
        "output": "equal" if is_equal(outputs["own", "large"], outputs["ranges", "large"]) else "different",
        "allocations": first["ranges", "large"], "peak_bytes": after["ranges"]["held_peak"],
        "engine_peak_bytes": after["own"]["held_peak"],
        "waste_percent": percent(after["ranges"]["held_peak"], after["ranges"]["asked_peak"]),
        "engine_waste_percent": percent(after["own"]["held_peak"], after["ranges"]["asked_peak"]),
        "overhead_percent": percent(middle["ranges", "large"], middle["own", "large"]),
        "note": "beside the decoder's weights; above 32 MiB the C library maps and unmaps each tensor, and its pages are new"}))
    return good


def threads_and_limits(folder):
    """In this process: tensors that end on other threads, the profiler, clones, a refusal with its text."""
    import torch

    lib = library(folder)
    assert lib.tokenheap_torch_cpu_install(b"nonsense", 0) == -1 and lib.tokenheap_torch_cpu_install(None, 0) == -1
    early = torch.ones(1000)
    assert lib.tokenheap_torch_cpu_install(b"ranges", 256 << 20) == 0
    start = figures(lib)
    assert start["live"] == 0
    del early  # ends at PyTorch's own
    held = [torch.full((k * 1000 + 1,), float(k)) for k in range(200)]
    halves = [held[::2], held[1::2]]
    del held
    sums = [0.0, 0.0]

    def end(which):
        while halves[which]:
            sums[which] += float(halves[which].pop().max())

    both = [threading.Thread(target=end, args=(which,)) for which in (0, 1)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sum(sums) == sum(range(200)) and figures(lib)["live"] == 0, (sums, figures(lib))

    a = torch.arange(1 << 16)
    assert torch.equal(a.clone(), a) and a.clone().numpy().sum() == a.sum()
    assert torch.empty(0).data_ptr() == 0 and a.data_ptr() % 64 == 0
    a.resize_(1 << 18)[: 1 << 16].sub_(torch.arange(1 << 16))
    assert not a[: 1 << 16].any()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        kept = torch.empty(1 << 20)
    told = sum(max(0, e.self_cpu_memory_usage if hasattr(e, "self_cpu_memory_usage") else 0) for e in seen.key_averages())
    assert told >= 4 << 20, f"the profiler saw {told} bytes"
    try:
        torch.empty(512 << 20, dtype=torch.uint8)
        raise AssertionError("a request above the limit was granted")
    except RuntimeError as refused:
        text = str(refused)
    assert "need 536870912 bytes" in text and "torch_cpu" in text, text
    assert figures(lib)["refused"] == 1 and kept.numel() == 1 << 20
    del a, kept
    assert figures(lib)["live"] == 0


def main():
    folder = sys.argv[1]
    try:
        import torch  # noqa: F401
    except ImportError as reason:
        print(f"skipped: no PyTorch here: {reason}")
        return 77
    if not (pathlib.Path(folder) / "libtokenheap_torch_cpu.so").is_file():
        print(f"skipped: no libtokenheap_torch_cpu.so in {folder}: it is built where PyTorch's headers are found")
        return 77
    good = compare(folder)
    threads_and_limits(folder)
    print("engine_torch: outputs equal" if good else "engine_torch: outputs DIFFER")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(worker(sys.argv[2], sys.argv[3]) if sys.argv[1] == "--worker" else main())
