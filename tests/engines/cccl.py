#!/usr/bin/env python3
"""CCCL on our memory: its concepts by both compilers, and Thrust's vectors and temporary memory on a column.

    cccl.py LIB_DIR SOURCE_DIR      77 without CCCL, without CUDA's headers or without g++; LIB_DIR is not used

Tried with the newest CCCL of the site packages (nvidia-cuda-cccl) and with that of the CUDA toolkit.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile

REPEATS = os.environ.get("TOKENHEAP_ENGINE_REPEATS", "21")
SOURCE = pathlib.Path(sys.argv[2])
HERE = pathlib.Path(__file__).resolve().parent


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def version_of(folder):
    """(3, 5, 0) of a folder that holds cuda/std and thrust, or None."""
    for name in ("cuda/std/__cccl/version.h", "cuda/__cccl_config", "cub/version.cuh"):
        path = folder / name
        found = path.is_file() and re.search(r"define (?:CCCL|CUB)_VERSION\s+(\d+)", path.read_text())
        if found:
            number = int(found[1])
            return (number // 1000000, number // 1000 % 1000, number % 1000)
    return None


def newest(folders):
    found = [(version_of(f), f) for f in folders if f.is_dir()]
    return max(((v, f) for v, f in found if v), default=None)


def toolkits():
    named = [os.environ.get(name) for name in ("CUDAToolkit_ROOT", "CUDA_HOME", "CUDA_PATH")]
    return [pathlib.Path(n) / "include" for n in [*named, "/usr/local/cuda"] if n]


def run(command):
    print("+", " ".join(str(c) for c in command))
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="", end="")
    return done


def main():
    packages = pathlib.Path(sysconfig.get_paths()["purelib"]) / "nvidia"
    runtime = next((f for f in [*toolkits(), *packages.glob("*/include")] if (f / "cuda_runtime_api.h").is_file()), None)
    gnu = shutil.which("g++")
    clang = shutil.which("clang++") or shutil.which("clang++-14")
    if runtime is None:
        skip("no cuda_runtime_api.h: install a CUDA toolkit")
    if gnu is None:
        skip("no g++")
    candidates = [newest([*packages.glob("*/include"), *packages.glob("*/include/cccl")]),
                  newest([f for t in toolkits() for f in (t / "cccl", t)])]
    tried = {v: (f, where) for (v, f), where in zip((c or (None, None) for c in candidates), ("PyPI", "the toolkit")) if v}
    if not tried:
        skip("no CCCL: pip install nvidia-cuda-cccl")

    for version, (folder, where) in sorted(tried.items(), reverse=True):
        print(f"CCCL {'.'.join(map(str, version))} of {where}")
        flags = ["-std=c++20", "-Wall", "-Wextra", "-Wno-unknown-warning-option", "-I", SOURCE / "include",
                 "-isystem", folder, "-isystem", runtime]
        doors = 0
        for compiler in filter(None, (gnu, clang)):
            # the adapter's own test needs Catch; its static_asserts are what matters here
            for name in (HERE / "cccl.cpp", SOURCE / "tests/fake_cuda/adapt_cuda_mr.cpp"):
                if name.name != "cccl.cpp" and not pathlib.Path("/usr/include/catch2/catch.hpp").is_file():
                    continue
                more = ["-I", SOURCE / "tests", "-DTHRUST_DEVICE_SYSTEM=THRUST_DEVICE_SYSTEM_CPP", "-fsyntax-only"]
                if run([compiler, *flags, *more, name]).returncode != 0:
                    sys.exit(f"{pathlib.Path(compiler).name} refuses {name.name} with CCCL {version}")
                doors += 1
        with tempfile.TemporaryDirectory() as place:
            program = pathlib.Path(place) / "cccl"
            built = run([gnu, *flags, "-O2", "-DTHRUST_DEVICE_SYSTEM=THRUST_DEVICE_SYSTEM_CPP", HERE / "cccl.cpp",
                         "-o", program])
            if built.returncode != 0:
                sys.exit(f"CCCL {version}: the program is not built")
            done = run([program, REPEATS])
        found = json.loads(done.stdout)
        assert found["equal"], "a sum differs"
        assert found["left"] == 0, "memory is still out at the end"
        assert done.returncode == 0
        row = {
            "engine": "CCCL", "version": ".".join(map(str, version)), "door": "adapt/cuda_mr.hpp, adapt/pmr.hpp",
            "what": "Thrust's host vectors, sorts and scans", "output": "equal", "allocations": found["allocations"],
            "peak_bytes": found["held_peak"], "engine_peak_bytes": found["heap_peak"],
            "waste_percent": round(100 * (found["held_peak"] / found["asked_peak"] - 1), 2), "engine_waste_percent": None,
            "overhead_percent": round(100 * (found["ours_ms"] / found["theirs_ms"] - 1), 2),
            "note": f"from {where}; concepts of cuda::mr checked {doors} times by {2 if clang else 1} compilers"}
        print("ROW", json.dumps(row))


main()
