#!/usr/bin/env python3
"""No type of a third party in what users include: reads what the compiler sees, after macros and conditions.

    cmake/third_party.py COMPILER [--root DIR] [-I DIR]...
    cmake/third_party.py --self-test COMPILER

A plain header includes the standard library, POSIX and the library alone. A declaration of the library names a third party
only in the headers whose job that party is, and those name no other. Headers whose third party is not here are left out by name.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import floors
import tree

# what the third party is called, the headers whose job it is, its own headers, its names
PARTIES = [
    ("CUDA", floors.CUDA_HOMES, r"cuda|cu(blas|fft|solver|sparse|file)|driver_types|nvrtc|nccl|vector_types",
     r"\bcuda(?:[A-Z]\w*|::)|\bcu[A-Z]\w*|\bCU[a-z]\w*|\bnccl\w+|\bcudaError\w*"),
    ("CCCL", re.compile(r"^adapt/"), r"(cuda|thrust|cub|nv)/", r"\b(?:thrust|cub|rmm)::"),
    ("PyTorch", re.compile(r"^adapt/torch"), r"(torch|ATen|c10)/", r"\b(?:torch|at|c10)::"),
    ("ggml", re.compile(r"^adapt/ggml"), r"(ggml|llama)[-./]", r"\bggml_\w+|\bllama_\w+"),
    ("TensorRT", re.compile(r"^adapt/tensorrt"), r"Nv(Infer|On)", r"\bnvinfer1::"),
    ("ONNX Runtime", re.compile(r"^adapt/onnx"), r"onnx|core/session", r"\bOrt[A-Z]\w*|\bOrt::"),
    ("DLPack", re.compile(r"^adapt/dlpack"), r"dlpack/", r"\bDL(?:Managed)?Tensor\w*|\bDLDevice\w*"),
    ("nlohmann-json", re.compile(r"^plan/(config_fields|json_events)\.hpp$"), r"nlohmann/", r"\bnlohmann\b"),
    ("hiredis", tree.HIREDIS, r"hiredis|sw/redis", r"\bredis[A-Z]\w*"),
    ("liburing", re.compile(r"^kv/file_ring\.hpp$"), r"liburing|linux/io_uring", r"\bio_uring\w*"),
    ("NVTX", re.compile(r"^observe/nvtx_trace\.hpp$"), r"nvtx3/", r"\bnvtx[A-Z]\w*"),
    # macros alone, and only where Valgrind's header is installed
    ("Valgrind", re.compile(r"^alloc/annotate\.hpp$"), r"valgrind/", r"\bVg_\w+|\b_qzz_\w+|\bOrigFn\b"),
    ("sanitizers", re.compile(r"^(alloc/annotate|check/fiber)\.hpp$"), r"sanitizer/", r"\b__(?:asan|tsan|lsan|msan)_\w+"),
    ("xxHash", re.compile(r"^$"), r"xxh", r"\bXXH\w+"),
    ("fmt or spdlog", re.compile(r"^$"), r"(fmt|spdlog)/", r"\b(?:fmt|spdlog)::"),
    ("Boost, Abseil, Folly or TBB", re.compile(r"^$"), r"(boost|absl|folly|tbb|oneapi)/", r"\b(?:boost|absl|folly|tbb)::"),
    ("another JSON parser", re.compile(r"^$"), r"(rapidjson|simdjson|json/)", r"\b(?:rapidjson|simdjson|Json)::"),
    ("a peer allocator", re.compile(r"^$"), r"(mimalloc|jemalloc|gperftools)", r"\bmi_\w+|\bje_\w+|\btc_malloc\w*"),
    ("protobuf or gRPC", re.compile(r"^$"), r"(google|grpc)", r"\b(?:google|grpc)::"),
]
PARTIES = [(what, homes, re.compile(own), re.compile(names)) for what, homes, own, names in PARTIES]
MARKER = re.compile(r'^# \d+ "([^"]*)"((?: \d)*)')
SYSTEM = re.compile(rf"{floors.SYSTEM.pattern}|^(cxxabi|execinfo|dirent)\.h$")
STRING = re.compile(r'"(?:\\.|[^"\\])*"')


def search_path(compiler, more):
    """The folders in which the compiler looks for <...>, longest first."""
    run = subprocess.run([compiler, "-E", "-v", "-x", "c++", "/dev/null"], capture_output=True, text=True)
    listed = run.stderr.split("#include <...> search starts here:")[-1].split("End of search list.")[0]
    # links are left as they are: a toolkit may be linked into /usr/local/include file by file
    folders = [os.path.normpath(line.strip()) for line in listed.splitlines() if line.strip()]
    return sorted({*folders, *(os.path.abspath(one) for one in more)}, key=len, reverse=True)


def preprocessed(compiler, root, more, name):
    command = [compiler, "-std=c++20", "-E", "-x", "c++", "-I", str(root / "include")]
    command += [part for folder in more for part in ("-isystem", str(folder))] + ["-"]
    return subprocess.run(command, input=f"#include <tokenheap/{name}>\n", capture_output=True, text=True)


def written_as(path, folders):
    path = os.path.abspath(path)
    return next((path[len(folder) + 1:] for folder in folders if path.startswith(folder + "/")), path)


def read(text, top, folders):
    """([(our header, what it includes)], [(our header, line, code)]) of preprocessed text."""
    entered, lines, stack, ours = [], [], [], None
    number = 0
    for line in text.splitlines():
        marker = MARKER.match(line)
        if not marker:
            if ours and line.strip():
                lines.append((ours, number, STRING.sub('""', line)))
            number += 1
            continue
        path, flags = marker.group(1), marker.group(2).split()
        number = int(line.split()[1])
        if "1" in flags:
            if ours and not path.startswith(top):
                entered.append((ours, written_as(path, folders)))
            stack.append(path)
        elif "2" in flags and stack:
            stack.pop()
        ours = path[len(top):] if path.startswith(top) else None
    return entered, lines


def judge(entered, lines):
    problems = []
    for name, target in entered:
        if floors.standard(target) or SYSTEM.match(target):
            continue
        party = next(((what, homes) for what, homes, own, _ in PARTIES if own.match(target)), None)
        if party is None or not party[1].match(name):
            problems.append(f"{name}: pulls in <{target}>" + (f" of {party[0]}" if party else ", which is of no party that it may know"))
    for name, number, code in lines:
        for what, homes, _, names in PARTIES:
            if not homes.match(name) and (found := names.search(code)):
                problems.append(f"{name}:{number}: names {what}: {found.group(0)}")
    return problems


def check(compiler, root, more, jobs=2):
    """(problems, headers read, headers left out)"""
    folders = search_path(compiler, more)
    top = f"{root}/include/tokenheap/"
    every = [name for _, name in tree.headers(root)]
    plain = [name for name in every if not tree.NEEDS_MORE.match(name)]
    # the umbrella is all plain headers at once
    first = [tree.UMBRELLA] if tree.UMBRELLA in every else plain
    rest = [name for name in every if name not in plain and not name.endswith("_symbols.hpp")]
    problems, seen, left_out = [], set(), []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for name, run in zip(first + rest, pool.map(lambda one: preprocessed(compiler, root, more, one), first + rest)):
            if run.returncode != 0 and name in rest:
                left_out.append(name)
                continue
            if run.returncode != 0:
                problems.append(f"{name}: {run.stderr.splitlines()[0]}")
                continue
            entered, lines = read(run.stdout, top, folders)
            fresh = {one for one, _, _ in lines} - seen
            problems += judge([one for one in entered if one[0] not in seen], [one for one in lines if one[0] in fresh])
            seen |= fresh
    missed = [name for name in plain if name not in seen and name != tree.UMBRELLA]
    problems += [f"{name}: the umbrella does not bring it" for name in missed]
    return sorted(set(problems)), seen, left_out


# header, its text, what must be said (None: nothing)
PLANTED = [
    ("alloc/clean.hpp", "#include <vector>\n#include <sys/mman.h>\n// fmt::format in a comment\nstruct own;\n", None),
    ("alloc/text.hpp", 'inline const char* text = "fmt::format in a string";\n', None),
    ("alloc/log.hpp", "#if __has_include(<fmt/core.h>)\n#include <fmt/core.h>\n#endif\n", "pulls in <fmt/core.h> of fmt"),
    ("alloc/log.hpp", "#define FMT fmt\nnamespace fmt { struct memory_buffer; }\nvoid f(FMT::memory_buffer&);\n", "names fmt or spdlog"),
    ("alloc/odd.hpp", "#include <odd/odd.h>\n", "pulls in <odd/odd.h>, which is of no party"),
    ("alloc/by_odd.hpp", "#include <vector>\n#include <odd.h>\n", "pulls in <odd.h>"),
    ("observe/json.hpp", "namespace nlohmann { class json; }\n", "names nlohmann-json"),
    ("plan/model.hpp", "namespace nlohmann { class json; }\nvoid f(const nlohmann::json&);\n", "names nlohmann-json"),
    ("plan/config_fields.hpp", "#include <nlohmann/json.hpp>\nvoid f(const nlohmann::json&);\n", None),
    ("plan/config_fields.hpp", "#include <fmt/core.h>\n", "pulls in <fmt/core.h>"),
    ("kv/tiers.hpp", "struct redisReply;\nvoid f(redisReply*);\n", "names hiredis"),
    ("kv/redis_reply.hpp", "struct redisReply;\nvoid f(redisReply*);\n", None),
    ("adapt/pmr.hpp", "namespace at { class Tensor; }\nvoid f(at::Tensor&);\n", "names PyTorch"),
    ("adapt/torch.hpp", "namespace at { class Tensor; }\nvoid f(at::Tensor&);\n", None),
    ("adapt/torch.hpp", "#include <not_here.h>\n", None),
    ("source/cuda.hpp", "using cudaStream_t = void*;\nvoid f(cudaStream_t);\n", None),
    ("device/sim.hpp", "using cudaStream_t = void*;\nvoid f(cudaStream_t);\n", "names CUDA"),
]


def self_test(compiler):
    wrong = []
    for name, text, expected in PLANTED:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder).resolve()
            for own in ("fmt/core.h", "nlohmann/json.hpp", "odd/odd.h", "odd.h"):
                (root / "others" / own).parent.mkdir(parents=True, exist_ok=True)
                (root / "others" / own).write_text("#pragma once\nnamespace nlohmann { class json; }\n")
            path = root / "include/tokenheap" / name
            path.parent.mkdir(parents=True)
            path.write_text("#pragma once\n" + text)
            problems, _, _ = check(compiler, root, [root / "others"], 1)
        if (not problems) != (expected is None) or (expected and not any(expected in one for one in problems)):
            wrong.append(f"{name} {text!r}: expected {expected}, found {problems}")
    tree.finish("third_party self-test", wrong, f"{len(PLANTED)} planted headers judged right")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("compiler")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("-I", dest="more", action="append", default=[], help="where headers of third parties are, such as CUDA's")
    parser.add_argument("--self-test", action="store_true")
    chosen = parser.parse_args()
    if chosen.self_test:
        self_test(chosen.compiler)
    found, read_ones, without = check(chosen.compiler, chosen.root.resolve(), chosen.more)
    for name in without:
        print(f"left out: {name}, whose third party is not here")
    tree.finish("third_party", found, f"{len(read_ones)} headers name nobody else's types but those of their job")
