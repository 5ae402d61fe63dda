#!/usr/bin/env python3
"""LMCache's own clients keep their chunks in our tiers, and read back the bytes that they stored.

    tests/engines/engine_lmcache.py LIB_DIR SOURCE_DIR

Needs LMCache in this Python (no GPU), pybind11's headers (its own package, or PyTorch's copy) and a C++20 compiler: c++, or CXX.
"""

import asyncio
import importlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import random
import select
import shutil
import subprocess
import sys
import sysconfig
import tempfile

CHUNK = 64 * 1024
HOST_BLOCKS = 8


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def pybind_headers():
    for package, below in (("pybind11", "include"), ("torch", "include")):
        spec = importlib.util.find_spec(package)
        for top in spec.submodule_search_locations if spec and spec.submodule_search_locations else []:
            if (pathlib.Path(top) / below / "pybind11" / "pybind11.h").is_file():
                return pathlib.Path(top) / below
    return None


def build(source, folder):
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    headers = pybind_headers()
    if compiler is None or headers is None:
        skip("no C++ compiler" if compiler is None else "no headers of pybind11")
    python = sysconfig.get_path("include")
    if not (pathlib.Path(python) / "Python.h").is_file():
        skip("no headers of Python")
    module = folder / ("tokenheap_lmcache" + sysconfig.get_config_var("EXT_SUFFIX"))
    subprocess.run([compiler, "-std=c++20", "-O1", "-w", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{source / 'include'}",
                    f"-I{headers}", f"-I{python}", str(source / "tests/engines/lmcache_client.cpp"), "-o", str(module), "-lpthread"],
                   check=True)
    sys.path.insert(0, str(folder))
    return importlib.import_module("tokenheap_lmcache")


def chunk_of(n):
    return bytearray(random.Random(n).randbytes(CHUNK))


async def by_event_loop(native, base):
    """The client of one process: asyncio, one batch after another and several at once."""
    client = base(native)
    keys = [f"model@0x1@0@{n:064x}" for n in range(40)]
    await client.batch_set(keys, [memoryview(chunk_of(n)) for n in range(40)])
    assert await client.batch_exists(keys + ["model@0x1@0@none"]) == [True] * 40 + [False]
    order = random.Random(7).sample(range(40), 40)
    into = [bytearray(CHUNK) for _ in order]
    await asyncio.gather(*(client.batch_get([keys[n] for n in order[at:at + 5]], [memoryview(b) for b in into[at:at + 5]])
                           for at in range(0, 40, 5)))
    assert all(bytes(b) == bytes(chunk_of(n)) for n, b in zip(order, into))
    try:
        await client.batch_get([keys[0], "model@0x1@0@none"], [memoryview(into[0]), memoryview(into[1])])
        raise AssertionError("a chunk that is not there was read")
    except RuntimeError as wrong:
        assert "1 of 2 chunks are not there" in str(wrong), wrong
    held = native.held()
    client.close()
    return held


class Chunk:
    """What the adapter asks of a memory object: its bytes."""

    def __init__(self, numbers):
        self.byte_array = memoryview(numbers)


def wait_for(fd, ask):
    for _ in range(600):
        answer = ask()
        if answer is not None:
            return answer
        select.select([fd], [], [], 0.05)
    raise AssertionError("no answer")


def by_adapter(native, adapter_type, key_type):
    """The adapter of LMCache's own server: stores, lookups with locks, loads with bitmaps, deletes."""
    adapter = adapter_type(native)
    keys = [key_type(chunk_hash=bytes([n] * 32), model_name="model", kv_rank=1) for n in range(12)]
    task = adapter.submit_store_task(keys[:10], [Chunk(chunk_of(100 + n)) for n in range(10)])
    stored = wait_for(adapter.get_store_event_fd(), lambda: adapter.pop_completed_store_tasks() or None)
    assert stored[task].is_successful() and stored[task].bytes_transferred() == 10 * CHUNK
    task = adapter.submit_lookup_and_lock_task(keys, {})
    found = wait_for(adapter.get_lookup_and_lock_event_fd(), lambda: adapter.query_lookup_and_lock_result(task))
    assert [found.test(n) for n in range(12)] == [True] * 10 + [False] * 2
    into = [bytearray(CHUNK) for _ in keys]
    task = adapter.submit_load_task(keys, [Chunk(b) for b in into])
    loaded = wait_for(adapter.get_load_event_fd(), lambda: adapter.query_load_result(task))
    assert [loaded.test(n) for n in range(12)] == [True] * 10 + [False] * 2
    assert all(bytes(into[n]) == bytes(chunk_of(100 + n)) for n in range(10))
    adapter.submit_unlock(keys[:10])
    adapter.delete(keys[:3])
    task = adapter.submit_lookup_and_lock_task(keys, {})
    left = wait_for(adapter.get_lookup_and_lock_event_fd(), lambda: adapter.query_lookup_and_lock_result(task))
    assert [left.test(n) for n in range(10)] == [False] * 3 + [True] * 7
    adapter.close()


def main():
    source = pathlib.Path(sys.argv[2])
    if importlib.util.find_spec("lmcache") is None:
        skip("LMCache is not here: pip install lmcache")
    try:
        from lmcache.v1.distributed.api import ObjectKey
        from lmcache.v1.distributed.l2_adapters.native_connector_l2_adapter import NativeConnectorL2Adapter
        from lmcache.v1.storage_backend.native_clients.connector_client_base import ConnectorClientBase
    except ImportError as missing:
        skip(f"LMCache cannot be imported: {missing}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        module = build(source, folder)
        host, file = asyncio.run(run_loop(module, folder, ConnectorClientBase))
        assert (host, file) == (HOST_BLOCKS, 40), (host, file)
        by_adapter(module.Client(str(folder / "adapter.tier"), CHUNK, HOST_BLOCKS), NativeConnectorL2Adapter, ObjectKey)
    print("ROW " + json.dumps({
        "engine": "LMCache", "version": importlib.metadata.version("lmcache"), "door": "adapt/lmcache_connector.hpp",
        "what": "ConnectorClientBase and NativeConnectorL2Adapter store, find, read and delete chunks in host memory and a file",
        "output": "equal", "allocations": 0, "peak_bytes": HOST_BLOCKS * CHUNK, "engine_peak_bytes": None, "waste_percent": None,
        "engine_waste_percent": None, "overhead_percent": None, "note": "50 chunks of 64 KiB, at least 32 of them read from the file"}))


async def run_loop(module, folder, base):
    return await by_event_loop(module.Client(str(folder / "loop.tier"), CHUNK, HOST_BLOCKS), base)


if __name__ == "__main__":
    main()
