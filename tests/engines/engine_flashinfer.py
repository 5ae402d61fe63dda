#!/usr/bin/env python3
"""FlashInfer's own paged_kv_t reads our page tables and an engine's tensors that our pool wraps.

    tests/engines/engine_flashinfer.py LIB_DIR SOURCE_DIR

FlashInfer is a library of headers: a program over its page.cuh is compiled with nvcc and run on the host. It needs the Python
package flashinfer-python, or TOKENHEAP_FLASHINFER_INCLUDE, and a CCCL that page.cuh takes, such as nvidia-cuda-cccl.
"""

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def folder_of_package(name):
    spec = importlib.util.find_spec(name)
    return [pathlib.Path(one) for one in spec.submodule_search_locations] if spec and spec.submodule_search_locations else []


def find_headers():
    named = os.environ.get("TOKENHEAP_FLASHINFER_INCLUDE")
    tops = [pathlib.Path(named)] if named else [top / "data" / "include" for top in folder_of_package("flashinfer")]
    return next((top for top in tops if (top / "flashinfer" / "page.cuh").is_file()), None)


def version():
    try:
        return importlib.metadata.version("flashinfer-python")
    except importlib.metadata.PackageNotFoundError:
        return os.environ.get("TOKENHEAP_FLASHINFER_VERSION", "headers alone")


def main():
    source = pathlib.Path(sys.argv[2])
    nvcc = shutil.which("nvcc") or ("/usr/local/cuda/bin/nvcc" if pathlib.Path("/usr/local/cuda/bin/nvcc").is_file() else None)
    headers = find_headers()
    if nvcc is None or headers is None:
        skip("no nvcc here" if nvcc is None else "the headers of flashinfer-python are not here")
    cccl = [f"-I{top}" for one in folder_of_package("nvidia") for top in sorted(one.glob("cu*/include/cccl"))]
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "page"
        made = subprocess.run([nvcc, "-std=c++20", "-O1", "-w", *cccl, f"-I{source / 'include'}", f"-I{headers}",
                               str(source / "tests/engines/flashinfer_page.cu"), "-o", str(program)],
                              capture_output=True, text=True)
        if made.returncode != 0:
            if "fast_mod_div" in made.stderr:
                skip("this CCCL is too old for page.cuh: install nvidia-cuda-cccl")
            sys.exit(made.stdout + made.stderr)
        ran = subprocess.run([str(program)], capture_output=True, text=True)
    row = {"engine": "FlashInfer", "version": version(), "door": "adapt/block_tables.hpp, adapt/engine_cache.hpp",
           "what": "paged_kv_t finds every number of 10 batches of forked and shared requests, NHD and HND, on the host",
           "output": "equal" if ran.returncode == 0 else "different", "allocations": 0, "peak_bytes": 0,
           "engine_peak_bytes": None, "waste_percent": None, "engine_waste_percent": None, "overhead_percent": None,
           "note": f"{ran.stdout.strip()} numbers read" if ran.returncode == 0 else ran.stdout.strip()}
    print("ROW " + json.dumps(row))
    sys.exit(ran.returncode)


if __name__ == "__main__":
    main()
