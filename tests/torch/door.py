#!/usr/bin/env python3
"""Calls the shared object as PyTorch does: by ctypes, two names and optional addresses.

    door.py FAKE REAL     FAKE is linked with a made-up CUDA runtime, REAL with the toolkit's, which finds no driver here
"""

import ctypes
import json
import os
import pathlib
import pickle
import random
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "observe"))
import viz_check

GAUGES = ("allocation", "segment", "active", "inactive_split", "allocated_bytes", "reserved_bytes", "active_bytes",
          "inactive_split_bytes", "requested_bytes")
METRICS = ("current", "peak", "allocated", "freed")
NUMBERS = ("max_split_size", "num_alloc_retries", "num_ooms", "num_oom_rejections", "num_sync_all_streams", "num_device_alloc",
           "num_device_free")


def load(path):
    lib = ctypes.CDLL(path, mode=os.RTLD_LOCAL | os.RTLD_DEEPBIND)  # its own runtime, whatever else the process has loaded
    lib.tokenheap_torch_malloc.restype = ctypes.c_void_p
    lib.tokenheap_torch_malloc.argtypes = [ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p]
    lib.tokenheap_torch_free.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p]
    lib.tokenheap_torch_last_error.restype = ctypes.c_char_p
    lib.tokenheap_torch_stat.restype = ctypes.c_size_t
    lib.tokenheap_torch_describe.restype = ctypes.c_size_t
    lib.tokenheap_torch_describe.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    lib.tokenheap_torch_record_stream.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    lib.tokenheap_torch_base.restype = ctypes.c_void_p
    lib.tokenheap_torch_base.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)]
    lib.tokenheap_torch_memory_stats.restype = ctypes.c_size_t
    lib.tokenheap_torch_memory_stats.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    lib.tokenheap_torch_snapshot.argtypes = [ctypes.c_char_p]
    lib.tokenheap_torch_error_text.restype = ctypes.c_char_p
    lib.tokenheap_torch_memory_fraction.argtypes = [ctypes.c_double, ctypes.c_int]
    for optional in ("init", "reset", "memory_fraction", "base", "record_stream", "begin_pool", "end_pool", "release_pool"):
        address = ctypes.cast(getattr(lib, "tokenheap_torch_" + optional), ctypes.c_void_p).value
        assert address, optional
    return lib


def memory_stats(lib, device=0):
    """What torch.cuda.memory_stats() would be."""
    room = ctypes.create_string_buffer(lib.tokenheap_torch_memory_stats(device, None, 0) + 100)
    lib.tokenheap_torch_memory_stats(device, room, len(room))
    return json.loads(room.value)


def stats_and_snapshot(lib, streams):
    """The exports in PyTorch's form: every key, numbers that agree with each other, files that its viewer can show."""
    wanted = {f"{gauge}.{pool}.{metric}" for gauge in GAUGES for pool in ("all", "small_pool", "large_pool") for metric in METRICS}
    wanted |= {f"oversize_{what}.{metric}" for what in ("allocations", "segments") for metric in METRICS} | set(NUMBERS)
    held = [lib.tokenheap_torch_malloc(size, 0, streams[0]) for size in (1000, 3 << 20, 40 << 20)]
    now = memory_stats(lib)
    assert set(now) == wanted, set(now) ^ wanted
    assert set(memory_stats(lib, 5)) == wanted and memory_stats(lib, 5)["allocation.all.allocated"] == 0
    assert now["allocation.all.current"] == 3 and now["requested_bytes.all.current"] == 1000 + (43 << 20)
    for gauge in GAUGES:
        for metric in ("current", "allocated", "freed"):
            small, large = (now[f"{gauge}.{pool}.{metric}"] for pool in ("small_pool", "large_pool"))
            assert now[f"{gauge}.all.{metric}"] == small + large, gauge
    for which, key in enumerate(("allocated_bytes", "reserved_bytes", "active_bytes", "requested_bytes")):
        assert lib.tokenheap_torch_stat(0, which) == now[f"{key}.all.current"], key
    lib.tokenheap_torch_reset_peak_stats(0)
    lib.tokenheap_torch_reset_accumulated_stats(0)
    now = memory_stats(lib)
    assert now["allocated_bytes.all.peak"] == now["allocated_bytes.all.current"] and now["allocation.all.allocated"] == 0

    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder) / name for name in ("snapshot.json", "snapshot.pickle")]
        for path in paths:
            assert lib.tokenheap_torch_snapshot(str(path).encode()) == 0
        raw = paths[1].read_bytes()
        shown = pickle.loads(raw)
        assert shown == json.loads(paths[0].read_text())
    viz_check.check_opcodes(raw)
    viz_check.check(shown)
    out = [b for s in shown["segments"] for b in s["blocks"] if b["state"] == "active_allocated"]
    assert sorted(b["address"] for b in out) == sorted(held) and len(shown["device_traces"][0]) > 4000
    wrong = lib.tokenheap_torch_snapshot(b"/no/such/folder/x.pickle")
    assert wrong != 0 and lib.tokenheap_torch_error_text(wrong) == b"refused by the system"
    for p, size in zip(held, (1000, 3 << 20, 40 << 20)):
        lib.tokenheap_torch_free(p, size, 0, streams[0])
    lib.tokenheap_torch_reset()


def churn(lib, streams, seed):
    """Random tensors on several streams: no two overlap, and all comes back."""
    rng, out = random.Random(seed), []
    for _ in range(4000):
        if len(out) < 40 and rng.random() < 0.6:
            size, stream = rng.randint(1, 6 << 20), rng.choice(streams)
            p = lib.tokenheap_torch_malloc(size, 0, stream)
            assert p, lib.tokenheap_torch_last_error()
            for q, other, _ in out:
                assert p + size <= q or q + other <= p, f"seed {seed}: pieces overlap"
            out.append((p, size, stream))
            if rng.random() < 0.2:
                lib.tokenheap_torch_record_stream(p, rng.choice(streams))
        elif out:
            p, size, stream = out.pop(rng.randrange(len(out)))
            lib.tokenheap_torch_free(p, size, 0, stream)
    assert lib.tokenheap_torch_stat(0, 3) == sum(size for _, size, _ in out)
    for p, size, stream in out:
        lib.tokenheap_torch_free(p, size, 0, stream)


def main():
    fake, real = load(sys.argv[1]), load(sys.argv[2])
    fake.make_stream.restype = ctypes.c_void_p
    streams = [fake.make_stream() for _ in range(3)]
    assert all(streams)
    fake.tokenheap_torch_init(1)
    seed = 5
    churn(fake, streams, seed)
    assert fake.tokenheap_torch_stat(0, 0) == 0 and fake.tokenheap_torch_stat(0, 4) > 0
    stats_and_snapshot(fake, streams)
    p = fake.tokenheap_torch_malloc(1000, 0, streams[0])
    size = ctypes.c_size_t()
    base = fake.tokenheap_torch_base(p, ctypes.byref(size))
    assert base <= p < base + size.value
    line = ctypes.create_string_buffer(300)
    assert fake.tokenheap_torch_describe(0, line, len(line)) > 0 and b"torch" in line.value, line.value
    assert not fake.tokenheap_torch_malloc(1 << 40, 0, streams[0])
    assert b"need 1099511627776 bytes" in fake.tokenheap_torch_last_error()
    assert fake.tokenheap_torch_stat(0, 8) == 1 and fake.tokenheap_torch_stat(0, 9) == ctypes.c_size_t(-1).value
    fake.tokenheap_torch_memory_fraction(0.01, 0)
    assert not fake.tokenheap_torch_malloc(64 << 20, 0, streams[0])
    fake.tokenheap_torch_free(p, 1000, 0, streams[0])
    fake.tokenheap_torch_reset()
    assert fake.tokenheap_torch_stat(0, 1) == 0

    # the toolkit's runtime: with a driver it serves, without one it says so and gives nothing
    q = real.tokenheap_torch_malloc(1000, 0, None)
    if q:
        real.tokenheap_torch_free(q, 1000, 0, None)
        print("door: the real runtime has a device, and served")
    else:
        assert real.tokenheap_torch_last_error(), "a null without a reason"
        print("door: no device:", real.tokenheap_torch_last_error().decode())
    print("door:", len(memory_stats(fake)), "numbers under PyTorch's keys; a snapshot that its viewer can show, as JSON and pickle")
    print(f"door: 4000 random calls over 3 streams, seed {seed}: no overlap, all came back")


if __name__ == "__main__":
    main()
