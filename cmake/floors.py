#!/usr/bin/env python3
"""The layering rule: a header includes its own floor and those below, by leaf, and names only what its floor may name.

    cmake/floors.py [ROOT]        checks a tree
    cmake/floors.py --self-test   plants one violation of each kind and demands that it is found
"""

import pathlib
import re
import sys
import tempfile

import tree

LIGHT = {"concepts", "cstddef", "cstdint", "new", "type_traits"}  # all that floors 0 and 1 may include
THREADS = re.compile(r"^(thread|future|condition_variable|semaphore|latch|barrier|stop_token|pthread\.h)$")
STREAMS = re.compile(r"^(iostream|fstream|sstream|iomanip|regex|format|expected|source_location)$")
SYSTEM = re.compile(r"^(sys/|linux/|asm/|bits/)|^(unistd|fcntl|errno|sched|dlfcn|malloc|pthread|signal|time|stdlib|stdint"
                    r"|stddef|stdio|string|limits|smmintrin|x86intrin|numaif|netdb)\.h$")

# what may be named where: a pattern over code, the headers that may use it, and what to call it
CUDA_HOMES = re.compile(r"^((source|device)/cuda[^/]*\.hpp|adapt/.*)$")
NAMED = [
    ("CUDA", CUDA_HOMES, re.compile(
        r"\bcuda_?[A-Za-z]*_runtime\w*|\bcuda(?:[A-Z]\w*)|\bcu[A-Z]\w*|\bCU(?:device|stream|result|context|mem)\w*"
        r"|\b__(?:global|device|host|shared)__\b|\b__CUDA\w+|<cuda[^>]*>|<driver_types\.h>")),
    ("an engine, a framework or CCCL", re.compile(r"^adapt/"), re.compile(
        r"<(?:torch|ATen|c10|ggml|llama|tensorrt|NvInfer|onnxruntime|rmm|cub|thrust|cuda/(?:std|memory_resource)|dlpack)"
        r"|\b(?:torch|at|c10|ggml|nvinfer1|thrust|cub|rmm)::|\bggml_\w+|\bDLManagedTensor\w*")),
    ("Redis", re.compile(r"^kv/(tier_redis|redis_reply|redis_connection|redis_servers)\.hpp$"), re.compile(
        r"<(?:hiredis|sw/redis)|\bredis[A-Z]\w*")),
    ("io_uring", re.compile(r"^kv/file_ring\.hpp$"), re.compile(r"<liburing|<linux/io_uring|\b(?:__)?io_uring_\w+")),
    ("NVTX", re.compile(r"^observe/nvtx_trace\.hpp$"), re.compile(r"<nvtx3/|\bnvtx[A-Z]\w*|\bNVTX_\w+")),
    ("a JSON parser", re.compile(r"^plan/"), re.compile(r"<(?:nlohmann|rapidjson|simdjson)|\bnlohmann::|\bsimdjson::")),
    ("xxHash", re.compile(r"^kv/prefix_index\.hpp$"), re.compile(r"<xxhash|\bXXH\w+")),
    ("fmt", re.compile(r"^observe/report\.hpp$"), re.compile(r"<fmt/|\bfmt::")),
    ("sanitizers or Valgrind", re.compile(r"^(policy/guard|alloc/annotate|check/fiber)\.hpp$"), re.compile(
        r"<(?:sanitizer|valgrind)/|\b__(?:asan|lsan|tsan|sanitizer)_\w+|\bVALGRIND_\w+")),
]


def standard(name):
    return re.fullmatch(r"[a-z_0-9]+", name) is not None


def check_include(name, floor, kind, target):
    """What is wrong with one include of the header `name`, or None."""
    if kind == '"':
        return f'include "{target}" by leaf, as <tokenheap/floor/name.hpp>'
    if target.startswith("tokenheap/"):
        leaf = target.removeprefix("tokenheap/")
        other = leaf.split("/")[0]
        if leaf == tree.UMBRELLA:
            return "a header never includes the umbrella"
        if other not in tree.FLOORS:
            return f"<{target}> is on no floor"
        if tree.FLOORS[other] > floor:
            return f"floor {floor} may not include <{target}> of floor {tree.FLOORS[other]}"
        return None
    if floor <= 1 and target not in LIGHT:
        return f"floor {floor} may include only {' '.join(sorted(LIGHT))}, not <{target}>"
    if STREAMS.match(target):
        return f"<{target}> is not used by headers of the library"
    if THREADS.match(target) and floor < 3:
        return f"floor {floor} starts and joins no threads; <{target}> belongs to floor 3 and above"
    if floor <= 5 and not standard(target) and not SYSTEM.match(target):
        if not any(homes.match(name) and pattern.search(f"<{target}>") for _, homes, pattern in NAMED):
            return f"third-party header <{target}> below floor 6"
    return None


def check(root):
    problems = []
    for path, name in tree.headers(root):
        shown = path.relative_to(root).as_posix()
        if name == tree.UMBRELLA:
            for line, kind, target in tree.includes(path):
                if kind != "<" or not target.startswith("tokenheap/"):
                    problems.append(f"{shown}:{line}: the umbrella includes headers of the library alone")
                elif tree.NEEDS_MORE.match(target.removeprefix("tokenheap/")):
                    problems.append(f"{shown}:{line}: <{target}> needs a toolkit or a third party")
            continue
        top = name.split("/")[0]
        if top not in tree.FLOORS:
            problems.append(f"{shown}: '{top}' is no floor")
            continue
        for line, kind, target in tree.includes(path):
            wrong = check_include(name, tree.FLOORS[top], kind, target)
            if wrong:
                problems.append(f"{shown}:{line}: {wrong}")
        for line, code in enumerate(tree.without_comments(path.read_text()).splitlines(), 1):
            for what, homes, pattern in NAMED:
                if not homes.match(name) and pattern.search(code):
                    problems.append(f"{shown}:{line}: may not name {what}: {pattern.search(code).group(0)}")
    return problems


# header, its text, what the report must say (None: nothing)
PLANTED = [
    ("observe/nvtx_trace.hpp", "#include <nvtx3/nvToolsExt.h>\n", None),
    ("observe/ring.hpp", "inline void f() { nvtxMarkA(nullptr); }\n", "may not name NVTX"),
    ("alloc/clean.hpp", "#include <vector>\n#include <tokenheap/core/a.hpp>\n#include <tokenheap/alloc/b.hpp>\n", None),
    ("core/comment.hpp", "// cudaMalloc and <torch/x.h> in a comment\n#include <cstddef>\n", None),
    ("source/cuda.hpp", "#include <cuda_runtime_api.h>\ninline void* p(std::size_t n) { return cudaMalloc(n); }\n", None),
    ("policy/guard.hpp", "#include <sanitizer/asan_interface.h>\n", None),
    ("source/pages.hpp", "#include <thread>\n#include <sys/mman.h>\n#include <unistd.h>\n", None),
    ("tokenheap.hpp", "#include <tokenheap/alloc/arena.hpp>\n", None),
    ("core/up.hpp", "#include <tokenheap/alloc/arena.hpp>\n", "may not include"),
    ("source/up.hpp", "# include  <tokenheap/kv/layout.hpp>\n", "may not include"),
    ("kv/up.hpp", "#include <tokenheap/check/contract.hpp>\n", "may not include"),
    ("kv/all.hpp", "#include <tokenheap/tokenheap.hpp>\n", "umbrella"),
    ("alloc/quoted.hpp", '#include "arena.hpp"\n', "by leaf"),
    ("alloc/lost.hpp", "#include <tokenheap/attic/x.hpp>\n", "on no floor"),
    ("attic/x.hpp", "\n", "is no floor"),
    ("core/heavy.hpp", "#include <vector>\n", "may include only"),
    ("concepts/atomic.hpp", "#include <atomic>\n", "may include only"),
    ("policy/thread.hpp", "#include <thread>\n", "starts and joins no threads"),
    ("alloc/print.hpp", "#include <iostream>\n", "not used by headers"),
    ("alloc/device.hpp", "inline int x() { return cudaGetLastError(); }\n", "may not name CUDA"),
    ("core/device.hpp", "__device__ void f();\n", "may not name CUDA"),
    ("kv/runtime.hpp", "#include <cuda_runtime_api.h>\n", "third-party"),
    ("source/torch.hpp", "#include <torch/torch.h>\n", "third-party"),
    ("check/torch.hpp", "#include <torch/torch.h>\n", "may not name an engine"),
    ("check/cccl.hpp", "#include <cuda/memory_resource>\n", "may not name"),
    ("kv/tiers.hpp", "#include <hiredis/hiredis.h>\n", "third-party"),
    ("kv/redis_reply.hpp", "#include <hiredis/hiredis.h>\ninline redisReader* r = nullptr;\n", None),
    ("kv/redis_request.hpp", "struct redisReader;\n", "may not name Redis"),
    ("observe/redis.hpp", "#include <hiredis/hiredis.h>\n", "may not name Redis"),
    ("kv/file_ring.hpp", "#include <liburing.h>\n", None),
    ("kv/tier_file.hpp", "#include <liburing.h>\n", "third-party"),
    ("observe/ring.hpp", "inline int f(io_uring_sqe* e) { return e->fd; }\n", "may not name io_uring"),
    ("observe/json.hpp", "#include <nlohmann/json.hpp>\n", "may not name a JSON parser"),
    ("kv/sequence.hpp", "#include <xxhash.h>\n", "third-party"),
    ("check/fmt.hpp", "#include <fmt/format.h>\n", "may not name fmt"),
    ("alloc/asan.hpp", "inline void f() { __asan_poison_memory_region(nullptr, 0); }\n", "may not name sanitizers"),
    ("check/fiber.hpp", "inline void f() { __tsan_switch_to_fiber(nullptr, 0); }\n", None),
    ("check/explorer.hpp", "inline void f() { __tsan_switch_to_fiber(nullptr, 0); }\n", "may not name sanitizers"),
    ("tokenheap.hpp", "#include <vector>\n", "the umbrella includes"),
    ("tokenheap.hpp", "#include <tokenheap/source/cuda.hpp>\n", "needs a toolkit"),
]


def self_test():
    wrong = []
    for name, text, expected in PLANTED:
        with tempfile.TemporaryDirectory() as root:
            path = pathlib.Path(root) / "include" / "tokenheap" / name
            path.parent.mkdir(parents=True)
            path.write_text(text)
            problems = check(root)
        if expected is None and problems:
            wrong.append(f"{name}: clean, yet reported: {problems}")
        if expected is not None and not any(expected in problem for problem in problems):
            wrong.append(f"{name}: planted '{expected}', reported: {problems}")
    tree.finish("floors self-test", wrong, f"{len(PLANTED)} planted headers judged right")


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    checked = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    tree.finish("floors", check(checked), f"{len(tree.headers(checked))} headers keep to their floors")
