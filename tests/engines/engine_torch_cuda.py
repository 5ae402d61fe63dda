#!/usr/bin/env python3
"""PyTorch's CUDA build and libtokenheap_torch.so: loaded by PyTorch itself; on a GPU a decoder on our memory, equal output.

    engine_torch_cuda.py LIB_DIR SOURCE_DIR     77 without a CUDA build of PyTorch, or without the library

Without a GPU the row of the GPU says so, and what PyTorch can do without one is still checked: loading, every setter that
docs/adapters.md names and, with the made-up runtime where LIB_DIR has it, its calls of them and its viewer of our exports.
"""

import ctypes
import json
import pathlib
import pickle
import sys
import tempfile
import threading
import time

import engine_torch
from worker import Worker

SHAPE = engine_torch.Shape(layers=16, width=2048, hidden=5504, heads=16, kv_heads=4, vocabulary=32000)
SETTERS = {"set_init_fn": "init", "set_record_stream_fn": "record_stream", "set_memory_fraction_fn": "memory_fraction",
           "set_reset_fn": "reset", "set_base_alloc_fn": "base", "set_begin_allocate_to_pool": "begin_pool",
           "set_end_allocate_to_pool_fn": "end_pool", "set_release_pool": "release_pool"}
MODES = ("native", "pool", "replaced")


def load(path):
    """The allocator as PyTorch loads it, with every optional address, and the library for our own exports."""
    import torch

    allocator = torch.cuda.memory.CUDAPluggableAllocator(str(path), "tokenheap_torch_malloc", "tokenheap_torch_free")
    symbols, inner = ctypes.CDLL(str(path)), allocator.allocator()
    for setter, name in SETTERS.items():
        getattr(inner, setter)(ctypes.cast(getattr(symbols, "tokenheap_torch_" + name), ctypes.c_void_p).value)
    symbols.tokenheap_torch_memory_stats.restype = ctypes.c_size_t
    symbols.tokenheap_torch_memory_stats.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    symbols.tokenheap_torch_last_error.restype = ctypes.c_char_p
    return allocator, symbols


def stats_of(symbols, device=0):
    room = ctypes.create_string_buffer(symbols.tokenheap_torch_memory_stats(device, None, 0) + 100)
    symbols.tokenheap_torch_memory_stats(device, room, len(room))
    return json.loads(room.value)


def worker(path, mode):
    """On a GPU: one process, one way to get memory."""
    import contextlib

    import torch

    allocator, symbols = load(path)
    if mode == "replaced":
        torch.cuda.memory.change_current_allocator(allocator)
    pool = torch.cuda.MemPool(allocator.allocator()) if mode == "pool" else None
    within = lambda: torch.cuda.use_mem_pool(pool) if pool else contextlib.nullcontext()
    numbers = lambda: stats_of(symbols) if mode == "replaced" else torch.cuda.memory_stats()
    with within():
        runs = engine_torch.runs_of(engine_torch.decoder(SHAPE).half().cuda(), engine_torch.prompt_of(SHAPE).cuda())
    for line in sys.stdin:
        command, _, out = line.strip().partition(" ")
        if command in runs:
            before = numbers()["allocation.all.allocated"]
            torch.cuda.synchronize()
            start = time.perf_counter()
            with within():
                made = runs[command]()
            torch.cuda.synchronize()
            answer = {"seconds": time.perf_counter() - start,
                      "allocations": numbers()["allocation.all.allocated"] - before}
            if out:
                cpu = made.cpu() if isinstance(made, torch.Tensor) else tuple(x.cpu() for x in made)
                torch.save(cpu, out)
        else:
            answer = {key: numbers()[f"{key}_bytes.all.peak"] for key in ("reserved", "requested")}
            answer |= {"ours": stats_of(symbols)["reserved_bytes.all.peak"]}
        print(json.dumps(answer), flush=True)


def on_gpu(path):
    """Rows of the pool and of the replaced allocator against PyTorch's own; True if every output was equal."""
    import torch

    workers = {mode: Worker(__file__, str(path), mode) for mode in MODES}
    outputs, first, middle = engine_torch.take_turns(workers)
    ends = {mode: one.ask("figures") for mode, one in workers.items()}
    for one in workers.values():
        one.end()
    good, percent = True, engine_torch.percent
    for mode in MODES[1:]:
        equal = all(engine_torch.is_equal(outputs["native", what], outputs[mode, what]) for what in ("forward", "generate"))
        good &= equal
        ours, own = ends[mode], ends["native"]
        assert ours["ours"] > 0, "PyTorch asked us for nothing"
        print("ROW " + json.dumps({
            "engine": "PyTorch, GPU tensors", "version": torch.__version__, "door": f"libtokenheap_torch.so, {mode}",
            "what": f"decoder of {SHAPE.layers} layers, {engine_torch.TOKENS} tokens, {torch.cuda.get_device_name()}",
            "output": "equal" if equal else "different", "allocations": first[mode, "generate"],
            "peak_bytes": ours["reserved"], "engine_peak_bytes": own["reserved"],
            "waste_percent": percent(ours["reserved"], ours["requested"]),
            "engine_waste_percent": percent(own["reserved"], own["requested"]),
            "overhead_percent": percent(middle[mode, "generate"], middle["native", "generate"]),
            "note": f"forward alone {percent(middle[mode, 'forward'], middle['native', 'forward']):+} %; "
                    f"{ours['ours'] >> 20} MiB of it came through us"}))
    return good


def open_fake(library, source):
    """The library over the made-up runtime, and streams of it. It keeps to its own runtime, whatever PyTorch has loaded."""
    sys.path.insert(0, str(pathlib.Path(source) / "tests" / "torch"))
    import door

    fake = door.load(str(library))
    fake.make_stream.restype = ctypes.c_void_p
    streams = [fake.make_stream() for _ in range(3)]
    assert all(streams)
    return door, fake, streams


def snapshot(fake):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "snapshot.pickle"
        assert fake.tokenheap_torch_snapshot(str(path).encode()) == 0
        return pickle.loads(path.read_bytes())


def viewer(door, fake, streams):
    """PyTorch's own summary and viewer read what the library exports; returns how many events."""
    import torch
    from torch.cuda import _memory_viz

    door.churn(fake, streams, seed=5)
    held = fake.tokenheap_torch_malloc(5 << 20, 0, streams[0])
    theirs = torch.cuda.memory.memory_stats, torch.cuda.memory._get_device_index
    torch.cuda.memory.memory_stats = lambda device=None: door.memory_stats(fake)
    torch.cuda.memory._get_device_index = lambda *_, **__: 0
    summary = torch.cuda.memory.memory_summary(0)
    torch.cuda.memory.memory_stats, torch.cuda.memory._get_device_index = theirs
    assert "Allocated memory      |   5120 KiB" in summary, summary
    shown = snapshot(fake)
    assert "total_allocated: 5.0MiB" in _memory_viz.segsum(shown)
    assert len(_memory_viz.trace(shown).splitlines()) > 4000
    assert "MemoryViz" in _memory_viz.trace_plot(shown) + _memory_viz.segment_plot(shown)
    fake.tokenheap_torch_free(held, 5 << 20, 0, streams[0])
    return sum(map(len, shown["device_traces"]))


def calls(library, fake, streams):
    """PyTorch's own C++ calls what the setters were given: fraction, graph pools with their filter, emptying the cache."""
    import torch

    allocator, _ = load(library)
    torch.cuda.memory.change_current_allocator(allocator)
    theirs, size, id = torch._C, 5 << 20, (0, 7)
    take = lambda: fake.tokenheap_torch_malloc(size, 0, streams[0])
    theirs._cuda_emptyCache()
    theirs._cuda_setMemoryFraction(0.25, 0)
    assert not fake.tokenheap_torch_malloc(200 << 20, 0, streams[0])
    assert b"limit 134217728" in fake.tokenheap_torch_last_error()

    elsewhere = []
    other = threading.Thread(target=lambda: elsewhere.append(take()))
    theirs._cuda_beginAllocateCurrentThreadToPool(0, id)  # its filter takes this thread's requests alone
    inside = take()
    other.start()
    other.join()
    theirs._cuda_endAllocateToPool(0, id)
    after = take()
    assert inside and elsewhere[0] and after, fake.tokenheap_torch_last_error()
    pools = {b["address"]: tuple(s["segment_pool_id"]) for s in snapshot(fake)["segments"] for b in s["blocks"]}
    assert pools[inside] != (0, 0) and pools[elsewhere[0]] == pools[after] == (0, 0), pools
    for piece in (inside, after, *elsewhere):
        fake.tokenheap_torch_free(piece, size, 0, streams[0])
    theirs._cuda_emptyCache()
    assert fake.tokenheap_torch_stat(0, 1) > 0, "a graph may replay on what its pool holds"
    theirs._cuda_releasePool(0, id)
    theirs._cuda_releasePool(0, id)
    assert fake.tokenheap_torch_last_error() == b"a graph pool that was never begun"
    theirs._cuda_emptyCache()
    assert fake.tokenheap_torch_stat(0, 1) == 0

    # what the page says that PyTorch refuses for any replaced allocator
    for refused in (lambda: theirs._cuda_memoryStats(0), lambda: theirs._cuda_resetPeakMemoryStats(0),
                    lambda: theirs._cuda_resetAccumulatedMemoryStats(0), lambda: theirs._cuda_memorySnapshot(None),
                    lambda: theirs._cuda_getMemoryFraction(0)):
        try:
            refused()
            print("engine_torch_cuda: PyTorch answers a call that docs/adapters.md calls refused")
        except RuntimeError as text:
            assert "does not yet support" in str(text), text


def main():
    path, source = pathlib.Path(sys.argv[1]) / "libtokenheap_torch.so", sys.argv[2]
    try:
        import torch
    except ImportError as reason:
        print(f"skipped: no PyTorch here: {reason}")
        return 77
    if torch.version.cuda is None or not path.is_file():
        print("skipped: this PyTorch has no CUDA" if path.is_file() else f"skipped: no {path}: it is built where a CUDA toolkit is")
        return 77
    row = {"engine": "PyTorch, GPU tensors", "version": torch.__version__, "door": "libtokenheap_torch.so", "allocations": None,
           "peak_bytes": None, "engine_peak_bytes": None, "waste_percent": None, "engine_waste_percent": None,
           "overhead_percent": None, "output": "n/a"}
    _, symbols = load(path)
    note = f"CUDAPluggableAllocator takes the library and its {len(SETTERS)} setters"
    library = path.parent / "libfake_torch.so"
    if library.is_file():
        door, fake, streams = open_fake(library, source)
        note += f"; its viewer and memory_summary read our exports ({viewer(door, fake, streams)} events)"
        calls(library, fake, streams)
        note += "; its C++ sets the fraction, opens, ends and releases graph pools by its filter, empties the cache"
    print("ROW " + json.dumps(row | {"what": "loaded and called by PyTorch", "note": note}))
    if torch.cuda.is_available():
        return 0 if on_gpu(path) else 1
    symbols.tokenheap_torch_malloc.restype = ctypes.c_void_p
    assert symbols.tokenheap_torch_malloc(512, 0, None) is None and b"no device" in symbols.tokenheap_torch_last_error()
    print("ROW " + json.dumps(row | {"what": "decoder, forward and generate", "note": "skipped: no GPU here"}))
    return 0


if __name__ == "__main__":
    sys.exit(worker(sys.argv[2], sys.argv[3]) if sys.argv[1] == "--worker" else main())
