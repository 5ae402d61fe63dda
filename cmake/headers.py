#!/usr/bin/env python3
"""Every header compiles alone, out of `-I include` and nothing else, in one of several ways.

    cmake/headers.py MODE COMPILER [--jobs N] [--root DIR]
    cmake/headers.py --self-test GCC CLANG [NVCC]

MODE: alone, noexcept (no exceptions, no RTTI), hostile (after macros that careless headers define), nvcc (the umbrella, and
the headers that need the toolkit), weight (preprocessed lines against a budget).
"""

import argparse
import concurrent.futures
import pathlib
import subprocess
import sys
import tempfile

import tree

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
# names that <sys/sysmacros.h>, <complex.h>, <termios.h>, the GNU dialect, Windows and X11 headers take as macros
HOSTILE = ["small", "major", "minor", "makedev", "I", "linux", "unix", "i386", "B0", "near", "far", "interface",
           "IN", "OUT", "OPTIONAL", "DELETE", "ERROR", "NO_ERROR", "TRUE", "FALSE", "BYTE", "True", "False", "None", "Bool",
           "Status", "Success", "Always", "Unsorted"]
# functions of POSIX; the standard library above floor 1 uses some of these names itself
HOSTILE_LIGHT = ["index", "rindex", "signal", "link", "pipe", "free"]
# preprocessed lines with g++: floors 0 and 1 are nearly free, no header above them costs much more than <mutex> does (36,000),
# and the suites of floor 6 start threads, which the umbrella pays too
WEIGHT = {0: 3500, 1: 4000, 6: 46000}
WEIGHT_OTHERS = 43000
WEIGHT_UMBRELLA = 100000


def hostile_lines(names):
    return "".join(f"#undef {name}\n#define {name} ;;hostile_{name};;\n" for name in names)


def unit(mode, name):
    """The translation unit for one header."""
    include = f"#include <tokenheap/{name}>\n"
    if mode == "hostile":
        light = tree.FLOORS.get(name.split("/")[0], 9) <= 1
        return "#include <sys/sysmacros.h>\n" + hostile_lines(HOSTILE + HOSTILE_LIGHT if light else HOSTILE) + include
    return include + include


def command(mode, compiler, root, path, out):
    start = [compiler, "-std=c++20", "-I", str(root / "include")]
    if mode == "nvcc":
        return start + ["-x", "cu", "-c", str(path), "-o", str(out), "-Xcompiler", "-Wall,-Wextra,-Werror", "-Werror", "all-warnings"]
    if mode == "weight":
        return start + ["-E", "-P", str(path), "-o", str(out)]
    extra = ["-fno-exceptions", "-fno-rtti"] if mode == "noexcept" else []
    if mode == "hostile" and "clang" not in compiler:
        extra = ["-ftrack-macro-expansion=0"]  # shows the place in the header, not that of the macro
    return start + WARNINGS + extra + ["-fsyntax-only", str(path)]


def check_one(mode, compiler, root, name, folder):
    stem = name.replace("/", "_")
    path, out = folder / f"{stem}.cpp", folder / f"{stem}.out"
    path.write_text(unit(mode, name))
    run = subprocess.run(command(mode, compiler, root, path, out), capture_output=True, text=True)
    if run.returncode != 0:
        first = [line for line in run.stderr.splitlines() if "error" in line][:3] or run.stderr.splitlines()[:3]
        return f"{name}: does not compile ({mode}, {compiler})\n    " + "\n    ".join(first)
    if mode == "weight":
        lines = sum(1 for line in out.read_text().splitlines() if line.strip())
        limit = WEIGHT.get(tree.FLOORS.get(name.split("/")[0], 9), WEIGHT_OTHERS)
        limit = WEIGHT_UMBRELLA if name == tree.UMBRELLA else limit
        if lines > limit:
            return f"{name}: {lines} preprocessed lines, {limit} allowed"
    return None


def names_for(mode, root):
    if mode != "nvcc":
        return [name for _, name in tree.compilable_headers(root)]
    # one by one would be three minutes, and finds nothing that g++ does not
    every = [name for _, name in tree.headers(root)]
    return [name for name in every if name == tree.UMBRELLA or tree.CUDA.match(name)] or every


def check(mode, compiler, root, jobs):
    names = names_for(mode, root)
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda name: check_one(mode, compiler, root, name, pathlib.Path(folder)), names)
        return names, [result for result in results if result]


def self_test(compilers):
    cases = [
        ("alone", "inline std::size_t f() { return 0; }\n", "#include <cstddef>\ninline std::size_t f() { return 0; }\n"),
        ("alone", "inline int f(long x) { return x; }\n", "inline long f(long x) { return x; }\n"),
        ("noexcept", "inline void f() { throw 1; }\n", "inline void f() noexcept {}\n"),
        ("hostile", "inline int f(int small) { return small; }\n", "inline int f(int little) { return little; }\n"),
        ("hostile", "template <class I> int f(I) { return 0; }\n", "template <class T> int f(T) { return 0; }\n"),
    ]
    gcc, clang, *nvcc = compilers
    runs = [(mode, compiler, bad, good) for mode, bad, good in cases for compiler in (gcc, clang)]
    runs += [("nvcc", compiler, "inline unknown_name f();\n", cases[0][2]) for compiler in nvcc]
    wrong = []
    for mode, compiler, bad, good in runs:
        for text, expected in ((bad, 1), (good, 0)):
            with tempfile.TemporaryDirectory() as folder:
                root = pathlib.Path(folder)
                (root / "include/tokenheap/core").mkdir(parents=True)
                (root / "include/tokenheap/core/a.hpp").write_text("#pragma once\n" + text)
                _, problems = check(mode, compiler, root, 1)
            if len(problems) != expected:
                wrong.append(f"{mode} {compiler}: {text!r} gave {problems}")
    tree.finish("headers self-test", wrong, f"{2 * len(runs)} planted headers judged right")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--self-test"]:
        self_test(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["alone", "noexcept", "hostile", "nvcc", "weight"])
    parser.add_argument("compiler")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    chosen = parser.parse_args()
    seen, found = check(chosen.mode, chosen.compiler, chosen.root, chosen.jobs)
    tree.finish(f"headers, {chosen.mode}", found, f"{len(seen)} headers with {pathlib.Path(chosen.compiler).name}")
