#!/usr/bin/env python3
"""Random programs through vLLM's own KVCacheManager and through kv::block_pool: hits, block ids and free blocks are the same.

    tests/engines/vllm_blocks.py LIB_DIR SOURCE_DIR [SEED ...]

Needs vLLM in this Python (no GPU) and a C++20 compiler: c++, or what CXX says. Ends with 77 where one is missing.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import pickle
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BLOCK = 16
BLOCKS = 40  # usable; the null block is one more


def leave(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def digest(value):
    return hashlib.sha256(pickle.dumps(value)).digest()


def make_program(seed, steps=5000):
    """Operations as (what, number, tokens): requests that share beginnings, grow and end in any order."""
    pick = random.Random(seed)
    bases = [[pick.randrange(1, 50_000) for _ in range(200)] for _ in range(6)]
    program, running, number = [], [], 0
    for _ in range(steps):
        chance = pick.random()
        if not running or (chance < 0.2 and len(running) < 8):
            base = pick.choice(bases)
            prompt = base[:pick.randrange(1, 160)] + [pick.randrange(50_000, 60_000) for _ in range(pick.randrange(0, 40))]
            program.append(("o", number, prompt))
            running.append(number)
            number += 1
        elif chance < 0.85:
            program.append(("a", pick.choice(running), [pick.randrange(1, 60_000)]))
        else:
            program.append(("f", running.pop(pick.randrange(len(running))), []))
    return program


def ours(source, program):
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if not compiler or not shutil.which(compiler):
        leave("no C++ compiler")
    with tempfile.TemporaryDirectory() as folder:
        binary = pathlib.Path(folder) / "vllm_blocks"
        subprocess.run([compiler, "-std=c++20", "-O2", "-I", source / "include", source / "tests/engines/vllm_blocks.cpp",
                        "-o", binary], check=True)
        text = "".join(f"{what} {number} {' '.join(map(str, tokens))}\n" for what, number, tokens in program)
        done = subprocess.run([binary, str(BLOCKS), str(BLOCK)], input=text, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    return [list(map(int, line.split())) for line in lines[:-1]], statistics.median(map(float, lines[-1].split()[1:]))


class Request:
    """What the manager asks of a request; block names are worked out when tokens arrive, as vLLM's requests do."""

    def __init__(self, number, tokens, status):
        self.request_id, self.all_token_ids, self.block_hashes = str(number), [], []
        self.status, self.num_prompt_tokens = status, len(tokens)
        self.num_computed_tokens = self.num_in_flight_tokens = self.num_preemptions = self.shared_prefix_boundary = 0
        self.skip_reading_prefix_cache, self.lora_request, self.cache_salt, self.prompt_embeds = False, None, None, None
        self.mm_features = []
        self.add(tokens)

    @property
    def num_tokens(self):
        return len(self.all_token_ids)

    def add(self, tokens):
        self.all_token_ids.extend(tokens)
        for at in range(len(self.block_hashes), len(self.all_token_ids) // BLOCK):
            before = self.block_hashes[-1] if self.block_hashes else None
            self.block_hashes.append(digest((before, tuple(self.all_token_ids[at * BLOCK:(at + 1) * BLOCK]))))


def theirs(program):
    try:
        from vllm.v1.core import kv_cache_utils
        from vllm.v1.core.kv_cache_manager import KVCacheManager
        from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
        from vllm.v1.request import RequestStatus
        import torch
    except ImportError as no:
        leave(f"vLLM cannot be imported: {no}")
    kv_cache_utils.init_none_hash(digest)
    spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float32)
    config = KVCacheConfig(num_blocks=BLOCKS + 1, kv_cache_tensors=[], kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)])
    manager = KVCacheManager(config, 1 << 20, BLOCK, BLOCK, enable_caching=True)
    requests, rows, seconds = {}, [], 0.0
    for what, number, tokens in program:
        request, cached = requests.get(number), 0
        done = what == "f" and request is not None
        if what == "o":
            request = Request(number, tokens, RequestStatus.WAITING)
        elif what == "a" and request:
            request.add(tokens)
        begin = time.thread_time()
        if what == "o":
            found, cached = manager.get_computed_blocks(request)[:2]
            done = manager.allocate_slots(request, len(tokens) - cached, cached, found) is not None
        elif what == "a" and request:
            done = manager.allocate_slots(request, 1) is not None
        elif request:
            manager.free(request)
        seconds += time.thread_time() - begin
        if what == "o" and done:
            request.num_computed_tokens, requests[number] = len(tokens), request
        elif what == "a" and request and done:
            request.num_computed_tokens += 1
        elif what == "a" and request:
            del request.all_token_ids[-1], request.block_hashes[len(request.all_token_ids) // BLOCK:]
        elif what == "f" and request:
            del requests[number]
        ids = manager.get_block_ids(str(number))[0] if done and what != "f" else []
        rows.append([int(done), cached if done else 0, manager.block_pool.get_num_free_blocks(), *ids])
    return rows, seconds, importlib.metadata.version("vllm")


def main():
    source = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).resolve().parents[2])
    for seed in [int(text) for text in sys.argv[3:]] or [1, 2, 3]:
        program = make_program(seed)
        expected, their_seconds, version = theirs(program)
        got, our_seconds = ours(source, program)
        wrong = next((at for at, (a, b) in enumerate(zip(expected, got)) if a != b), None)
        if wrong is not None or len(expected) != len(got):
            print(f"seed {seed}, operation {wrong}: {program[wrong][:2]}\n  vLLM {expected[wrong]}\n  ours {got[wrong]}")
        refused, found = sum(1 for row in expected if not row[0]), sum(row[1] for row in expected)
        print("ROW " + json.dumps({
            "engine": "vllm", "version": version, "door": "kv::block_pool against KVCacheManager",
            "what": f"{len(program)} operations, {refused} refused, {found} tokens found, seed {seed}",
            "output": "equal" if wrong is None else "different",
            "allocations": sum(1 for what, _, _ in program if what != "f"), "peak_bytes": None, "engine_peak_bytes": None,
            "waste_percent": None, "engine_waste_percent": None,
            "overhead_percent": round(100 * (our_seconds / their_seconds - 1), 1),
            "note": f"us an operation: vLLM {1e6 * their_seconds / len(program):.2f} (its block names apart), "
                    f"ours {1e6 * our_seconds / len(program):.3f}"}))
        if wrong is not None:
            sys.exit(1)


if __name__ == "__main__":
    main()
