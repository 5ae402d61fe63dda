#!/usr/bin/env python3
"""RMM's adaptors and containers over adapt::cuda_mr: RMM's counters and ours agree at every step of a random program.

    rmm.py LIB_DIR SOURCE_DIR      LIB_DIR is not used; 77 without PyPI's librmm (librmm-cu13), CCCL, CUDA's headers or g++

The device is a CUDA runtime of our own, so no GPU is needed.
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

SOURCE = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).resolve().parents[2])


def leave(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def package(name):
    found = importlib.util.find_spec(name)
    if found is None:
        leave(f"no Python package {name}; pip install librmm-cu13")
    return pathlib.Path(found.submodule_search_locations[0])


def folder(what, wanted, places):
    for place in places:
        if (place / wanted).exists():
            return place
    return leave(f"no {what} found ({wanted})")


def main():
    compiler = os.environ.get("CXX") or "g++"
    if not shutil.which(compiler):
        leave(f"no {compiler}")
    rmm, logger = package("librmm"), package("rapids_logger")
    sites = [pathlib.Path(p) for p in sys.path if p.endswith("site-packages")]
    cccl = folder("CCCL 3.3 or later", "cuda/buffer", [place for site in sites for place in site.glob("nvidia/*/include/cccl")])
    roots = [pathlib.Path(os.environ[name]) for name in ("CUDAToolkit_ROOT", "CUDA_HOME", "CUDA_PATH") if name in os.environ]
    toolkit = folder("CUDA toolkit", "include/cuda_runtime_api.h", [*roots, pathlib.Path("/usr/local/cuda")])
    libraries = [rmm / "lib64", logger / "lib64", toolkit / "lib64"]
    with tempfile.TemporaryDirectory() as made:
        binary = pathlib.Path(made) / "rmm"
        own = ["-I", SOURCE / "include", "-I", SOURCE / "tests"]
        others = [rmm / "include", rmm / "include/rapids", logger / "include", cccl, toolkit / "include"]
        subprocess.run([compiler, "-std=c++20", "-O1", "-rdynamic", *own, *[part for place in others for part in ("-isystem", place)],
                        SOURCE / "tests/engines/rmm.cpp", SOURCE / "tests/fake_cuda/runtime/runtime.cpp", "-o", binary,
                        *[f"-L{place}" for place in libraries], *[f"-Wl,-rpath,{place}" for place in libraries],
                        "-lrmm", "-lrapids_logger", "-lcudart", "-lpthread"], check=True)
        done = subprocess.run([binary], capture_output=True, text=True)
    print(done.stderr, end="")
    told = json.loads(done.stdout) if done.returncode == 0 else {}
    peak, asked = told.get("held_peak", 0), told.get("asked_peak", 0)
    print("ROW " + json.dumps({
        "engine": "rmm", "version": importlib.metadata.version("librmm-cu13"), "door": "adapt::cuda_mr",
        "what": "statistics and limiting adaptors, device_buffer", "output": "equal" if done.returncode == 0 else "different",
        "allocations": told.get("allocations", 0), "peak_bytes": peak, "engine_peak_bytes": None,
        "waste_percent": None, "engine_waste_percent": None,
        "overhead_percent": None, "note": f"counters agree at each of 20,000 steps; two streams, {asked} bytes asked at the peak; a CUDA runtime of our own"}))
    sys.exit(0 if done.returncode == 0 else 1)


if __name__ == "__main__":
    main()
