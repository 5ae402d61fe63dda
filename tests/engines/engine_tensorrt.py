#!/usr/bin/env python3
"""TensorRT's own headers: our doors fill its interfaces, by both compilers, and answer through them without a GPU.

    engine_tensorrt.py LIB_DIR SOURCE_DIR      77 without NvInferRuntime.h, CUDA's headers or g++; LIB_DIR is not used

Headers are looked for in TENSORRT_INCLUDE, in the system's folders, and in the site packages, where some package may ship
them; PyPI's `tensorrt` has none.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile

SOURCE = pathlib.Path(sys.argv[2])
HERE = pathlib.Path(__file__).resolve().parent


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def header(name, places):
    return next((p for p in places if (p / name).is_file()), None)


def main():
    packages = pathlib.Path(sysconfig.get_paths()["purelib"])
    named = [os.environ[n] for n in ("TENSORRT_INCLUDE", "CUDA_HOME", "CUDA_PATH") if os.environ.get(n)]
    system = [pathlib.Path(p) for p in (*named, "/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/local/tensorrt/include")]
    toolkits = [p / "include" for p in system] + [pathlib.Path("/usr/local/cuda/include")]
    interfaces = header("NvInferRuntime.h", [*system, *packages.glob("*/include/tensorrt"), *packages.glob("*/include")])
    runtime = header("cuda_runtime_api.h", [*toolkits, *packages.glob("nvidia/*/include")])
    compilers = [c for c in (shutil.which("g++"), shutil.which("clang++") or shutil.which("clang++-14")) if c]
    if interfaces is None:
        skip("no NvInferRuntime.h: install TensorRT's headers, or name their folder in TENSORRT_INCLUDE")
    if runtime is None or not shutil.which("g++"):
        skip("no cuda_runtime_api.h or no g++")
    print("headers of", interfaces)
    sources = [HERE / "tensorrt.cpp", SOURCE / "tests/fake_cuda/runtime/runtime.cpp"]
    with tempfile.TemporaryDirectory() as place:
        program = pathlib.Path(place) / "tensorrt"
        for compiler in reversed(compilers):
            command = [compiler, "-std=c++20", "-O0", "-Wall", "-Wextra", "-Werror", "-I", SOURCE / "include", "-I",
                       SOURCE / "tests", "-isystem", interfaces, "-isystem", runtime, *sources, "-o", program, "-lpthread"]
            print("+", *command)
            subprocess.run([str(c) for c in command], check=True)
            done = subprocess.run([program], capture_output=True, text=True)
            print(done.stdout, done.stderr, sep="", end="")
            if done.returncode != 0:
                sys.exit(1)
    found = json.loads(done.stdout)
    row = {
        "engine": "TensorRT", "version": found["version"], "door": "adapt/tensorrt.hpp",
        "what": "its own interfaces, over a simulated CUDA runtime", "output": "n/a", "allocations": found["allocations"],
        "peak_bytes": found["peak"], "engine_peak_bytes": None, "waste_percent": None, "engine_waste_percent": None,
        "overhead_percent": None, "note": f"headers only, {len(compilers)} compilers: no engine was built or run"}
    print("ROW", json.dumps(row))


main()
