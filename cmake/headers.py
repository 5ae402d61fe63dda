#!/usr/bin/env python3
"""Every header compiles alone, out of `-I include` and nothing else, in one of several ways.

    cmake/headers.py MODE COMPILER [--jobs N] [--root DIR]
    cmake/headers.py seconds COMPILER... [--rounds N]
    cmake/headers.py --self-test GCC CLANG [NVCC]

MODE: alone, noexcept (no exceptions, no RTTI), hostile (after macros that careless headers define), nvcc (the umbrella, and
the headers that need the toolkit), weight (preprocessed lines against a budget), pedantic (clang, C++23, the plain spelling of
core/config.hpp, no extension), spelling (text alone: extensions stand where they may), windows (MinGW: all but the headers that
need POSIX).
`seconds` prints what including each header costs a program, as a table of user CPU seconds.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import statistics
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
# preprocessed lines with g++: floors 0 and 1 are nearly free, no header of floors 2 to 5 costs much more than <thread> does
# (34,600), and the suites of floor 6 start threads, which the umbrella pays too
WEIGHT = {0: 3000, 1: 3000, 6: 46000}
WEIGHT_OTHERS = 40000
# the standard headers that floor 1 may include are 2,942 lines, which leaves these no room
WEIGHT_BY_NAME = {"concepts/kv.hpp": 3600, "concepts/policy.hpp": 3300, "concepts/tier.hpp": 3100}
WEIGHT_UMBRELLA = 100000
# what only g++ and its like take, where no condition on the compiler stands around it
EXTENSION = re.compile(r"__attribute__|__builtin_\w+|\b__?asm(?:__)?\b|\basm\b|\b__int128\b|\b__?typeof(?:__)?\b|__extension__"
                       r"|\b__restrict__\b|__PRETTY_FUNCTION__|\[\[\s*(?:gnu|clang|msvc|no_unique_address)\b|__sync_\w+|__atomic_\w+"
                       r"|\b__thread\b|\balloca\s*\(|#\s*include_next|#\s*warning|#\s*pragma\s+(?!once)|\bvector_size\b|\b__\w*_unreachable\b")
CONDITION = re.compile(r"__GNUC__|__clang__|TOKENHEAP_GNU|__x86_64__|__ELF__|__SANITIZE_\w+|_MSC_VER|__CUDACC__|__has_feature")
# whole headers that exist for one kind of machine: fibers in assembler, frames of the stack, what a Linux library exports
EXTENDED = re.compile(r"^(core/config|check/fiber|observe/stack_walk|adapt/\w+_symbols|adapt/ggml_call|adapt/c_status|adapt/c)\.(hpp|h)$")
# single words that a header may use all the same
EXTENDED_WORDS = {"plan/formats.hpp": {"__extension__", "__int128"}}
# what does not compile for Windows: pages, sockets and frames of POSIX, and what includes these headers
POSIX = re.compile(r"^(tokenheap|source/(pages|pinned|system_calls)|device/(host|sim|sim_backing|sim_memory|sim_paging|sim_work)"
                   r"|alloc/pinned_pool(_options)?|kv/(file_io|tier_file|tier_redis|redis_servers|redis_connection|redis_reply)"
                   r"|check/(fiber|explorer|explore_threads)|observe/(allocation_samples|flame|leaks|stack_walk|viz_device))\.hpp$")


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
    start = [compiler, "-std=c++2b" if mode == "pedantic" else "-std=c++20", "-I", str(root / "include")]
    if mode == "pedantic":
        return start + WARNINGS + ["-Wgnu", "-pedantic-errors", "-DTOKENHEAP_PLAIN=1", "-fsyntax-only", str(path)]
    if mode == "nvcc":
        return start + ["-x", "cu", "-c", str(path), "-o", str(out), "-Xcompiler", "-Wall,-Wextra,-Werror", "-Werror", "all-warnings"]
    if mode == "weight":
        return start + ["-E", "-P", str(path), "-o", str(out)]
    extra = ["-fno-exceptions", "-fno-rtti"] if mode == "noexcept" else []
    if mode == "hostile" and "clang" not in compiler:
        extra = ["-ftrack-macro-expansion=0"]  # shows the place in the header, not that of the macro
    if mode == "windows":
        return start + ["-fsyntax-only", str(path)]
    return start + WARNINGS + extra + ["-fsyntax-only", str(path)]


def spelling_of(name, text):
    """The extensions of a header that no condition on the compiler stands around."""
    found, stack = [], []
    for number, line in enumerate(tree.without_comments(text).splitlines(), 1):
        directive = re.match(r"\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b(.*)", line)
        if directive:
            word, told = directive.groups()
            asks = bool(CONDITION.search(told))
            refuses = told.strip().startswith("!") or word == "ifndef"
            if word in ("if", "ifdef", "ifndef"):
                stack.append([asks and not refuses, asks and refuses])
            elif word == "elif" and stack:
                stack[-1][0] = asks and not refuses
            elif word == "else" and stack:
                stack[-1][0] = stack[-1][1]
            elif stack:
                stack.pop()
            continue
        if not any(guarded for guarded, _ in stack):
            found += [f"{name}:{number}: an extension without a condition on the compiler: {word}"
                      for word in EXTENSION.findall(line) if word not in EXTENDED_WORDS.get(name, ())]
    return found


def check_spelling(root):
    every = tree.headers(root)
    return [name for _, name in every], [problem for path, name in every if not EXTENDED.match(name)
                                         for problem in spelling_of(name, path.read_text())]


def check_one(mode, compiler, root, name, folder):
    stem = name.replace("/", "_")
    path, out = folder / f"{stem}.cpp", folder / f"{stem}.out"
    path.write_text(unit(mode, name))
    run = subprocess.run(command(mode, compiler, root, path, out), capture_output=True, text=True)
    if mode == "windows" and POSIX.match(name):
        return f"{name}: compiles for Windows, and is listed as one that does not" if run.returncode == 0 else None
    if run.returncode != 0:
        first = [line for line in run.stderr.splitlines() if "error" in line][:3] or run.stderr.splitlines()[:3]
        return f"{name}: does not compile ({mode}, {compiler})\n    " + "\n    ".join(first)
    if mode == "weight":
        lines = sum(1 for line in out.read_text().splitlines() if line.strip())
        limit = WEIGHT_BY_NAME.get(name, WEIGHT.get(tree.FLOORS.get(name.split("/")[0], 9), WEIGHT_OTHERS))
        limit = WEIGHT_UMBRELLA if name == tree.UMBRELLA else limit
        if lines > limit:
            return f"{name}: {lines} preprocessed lines, {limit} allowed"
    return None


def names_for(mode, root):
    if mode == "pedantic":
        # alone they would be a minute, and the compiler says the same of them inside the umbrella
        umbrella = root / "include" / "tokenheap" / tree.UMBRELLA
        held = {name for _, _, name in tree.includes(umbrella)} if umbrella.is_file() else set()
        return [name for _, name in tree.compilable_headers(root) if f"tokenheap/{name}" not in held]
    if mode != "nvcc":
        return [name for _, name in tree.compilable_headers(root)]
    # one by one would be three minutes, and finds nothing that g++ does not
    every = [name for _, name in tree.headers(root)]
    return [name for name in every if name == tree.UMBRELLA or tree.CUDA.match(name)] or every


def check(mode, compiler, root, jobs):
    if mode == "spelling":
        return check_spelling(root)
    names = names_for(mode, root)
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda name: check_one(mode, compiler, root, name, pathlib.Path(folder)), names)
        return names, [result for result in results if result]


def seconds_of(compiler, root, text, folder, rounds):
    """User CPU seconds to compile a program of this text alone: the least of some rounds, for what disturbs only adds."""
    path, out = folder / ("one.cu" if "nvcc" in compiler else "one.cpp"), folder / "one.o"
    path.write_text(text)
    spent = []
    for _ in range(rounds):
        before = os.times().children_user
        subprocess.run([compiler, "-std=c++20", "-O2", "-I", str(root / "include"), "-c", str(path), "-o", str(out)],
                       check=True, capture_output=True)
        spent.append(os.times().children_user - before)
    return min(spent)


def show_seconds(compilers, root, rounds, slowest=15):
    """A table as docs/benchmarks.md has it. nvcc is too slow for all: it takes the rows that are shown, and each tenth header."""
    leaves = [name for _, name in tree.plain_headers(root) if name != tree.UMBRELLA]
    others = ["", "<mutex>", "<algorithm>", "<memory>", tree.UMBRELLA]
    columns, shown = {}, leaves
    with tempfile.TemporaryDirectory() as folder:
        for compiler in compilers:
            wanted = leaves if "nvcc" not in compiler else sorted({*leaves[::10], *shown[:slowest]})
            column = {name: seconds_of(compiler, root, including(name), pathlib.Path(folder), rounds) for name in [*others, *wanted]}
            columns[compiler] = column
            if compiler == compilers[0]:
                shown = sorted(wanted, key=lambda one: -column[one])
            print(f"measured with {compiler}", file=sys.stderr, flush=True)
    print("| header | " + " | ".join(pathlib.Path(one).name for one in compilers) + " |")
    print("|---" + "|--:" * len(compilers) + "|")
    middles = [statistics.median(columns[one][name] for name in (leaves if "nvcc" not in one else leaves[::10])) for one in compilers]
    print(f"| median of {len(leaves)} headers | " + " | ".join(f"{one:.2f}" for one in middles) + " |")
    for name in [*others, *shown[:slowest]]:
        title = "an empty file" if not name else "the umbrella" if name == tree.UMBRELLA else f"`{name}`"
        print(f"| {title} | " + " | ".join(f"{columns[one][name]:.2f}" for one in compilers) + " |")


def including(name):
    return "" if not name else f"#include {name if name[0] == '<' else f'<tokenheap/{name}>'}\n"


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
    clean = "inline int f(int x) { return x; }\n"
    plain = "#include <tokenheap/core/config.hpp>\ninline int f(int x) {\n#if TOKENHEAP_GNU\n  return __builtin_clz(x);\n#else\n%s#endif\n}\n"
    runs += [("spelling", gcc, bad, clean) for bad in (
        "inline int f(int x) { return __builtin_clz(x); }\n", "[[gnu::cold]] inline int f();\n",
        "struct s { [[no_unique_address]] int x; };\n", "inline void f() { asm(\"nop\"); }\n", "typedef __int128 wide;\n",
        "#if __GNUC__\n#else\nusing x = __typeof__(1);\n#endif\n", "#if 1\n__attribute__((cold)) int f();\n#endif\n")]
    runs += [("spelling", gcc, plain % "  return __builtin_ctz(x);\n", plain % "  return x;\n")]
    runs += [("pedantic", clang, "inline int f() { return ({ 1; }); }\n", clean),
             ("pedantic", clang, "inline int f(int n) { int a[n]; a[0] = n; return a[0]; }\n", clean),
             ("pedantic", clang, "#if TOKENHEAP_PLAIN\ninline unknown f();\n#endif\n", clean)]
    runs += [("nvcc", compiler, "inline unknown_name f();\n", cases[0][2]) for compiler in nvcc]
    wrong = []
    for mode, compiler, bad, good in runs:
        for text, expected in ((bad, 1), (good, 0)):
            with tempfile.TemporaryDirectory() as folder:
                root = pathlib.Path(folder)
                (root / "include/tokenheap/core").mkdir(parents=True)
                (root / "include/tokenheap/core/a.hpp").write_text("#pragma once\n" + text)
                (root / "include/tokenheap/core/config.hpp").write_text("#define TOKENHEAP_GNU 1\n")
                _, problems = check(mode, compiler, root, 1)
            if len(problems) != expected:
                wrong.append(f"{mode} {compiler}: {text!r} gave {problems}")
    tree.finish("headers self-test", wrong, f"{2 * len(runs)} planted headers judged right")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--self-test"]:
        self_test(sys.argv[2:])
    if sys.argv[1:2] == ["seconds"]:
        timing = argparse.ArgumentParser()
        timing.add_argument("seconds")
        timing.add_argument("compilers", nargs="+")
        timing.add_argument("--rounds", type=int, default=3)
        timing.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
        told = timing.parse_args()
        show_seconds(told.compilers, told.root, told.rounds)
        sys.exit(0)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["alone", "noexcept", "hostile", "nvcc", "weight", "pedantic", "spelling", "windows"])
    parser.add_argument("compiler", nargs="?", default="g++")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    chosen = parser.parse_args()
    seen, found = check(chosen.mode, chosen.compiler, chosen.root, chosen.jobs)
    tree.finish(f"headers, {chosen.mode}", found, f"{len(seen)} headers with {pathlib.Path(chosen.compiler).name}")
