#!/usr/bin/env python3
"""Every header has its test file, whose first include is that header; the umbrella has every header it can.

    cmake/mirror.py [ROOT]        checks a tree
    cmake/mirror.py --write       lists every header it can in the umbrella
    cmake/mirror.py --self-test   plants violations and demands that they are found
"""

import pathlib
import sys
import tempfile

import tree


def test_home(name):
    """Where the test of a header lives; headers that need CUDA may have theirs on a GPU or over the made-up runtime."""
    stem = name.rsplit(".", 1)[0]
    if not tree.NEEDS_MORE.match(name):
        return [f"tests/{stem}.cpp"]
    return [f"tests/{stem}.cpp", f"tests/fake_cuda/{stem.replace('/', '_')}.cpp", f"tests/gpu/{stem.split('/')[-1]}.cpp"]


def check(root):
    root = pathlib.Path(root)
    problems = []
    for path, name in tree.headers(root):
        if name == tree.UMBRELLA:
            continue
        homes = [home for home in test_home(name) if (root / home).is_file()]
        if not homes:
            problems.append(f"include/tokenheap/{name}: has no {' or '.join(test_home(name))}")
            continue
        first = next(iter(tree.includes(root / homes[0])), None)
        if first is None or first[2] != f"tokenheap/{name}":
            problems.append(f"{homes[0]}: its first include must be <tokenheap/{name}>, not {first and first[2]}")

    umbrella = root / "include" / "tokenheap" / tree.UMBRELLA
    if not umbrella.is_file():
        return problems + [f"include/tokenheap/{tree.UMBRELLA}: missing"]
    listed = {target.removeprefix("tokenheap/") for _, _, target in tree.includes(umbrella)}
    for _, name in tree.plain_headers(root):
        if name != tree.UMBRELLA and name not in listed:
            problems.append(f"include/tokenheap/{tree.UMBRELLA}: leaves out <tokenheap/{name}>")
    return problems


UMBRELLA_HEAD = """// Everything that needs no GPU toolkit and no third-party header. The library itself includes by leaf, never this.
#pragma once

"""


def umbrella_text(root):
    """The umbrella: one include a line, floor by floor from the ground up."""
    names = [name for _, name in tree.plain_headers(root) if name != tree.UMBRELLA]
    floors = list(tree.FLOORS)
    names.sort(key=lambda name: (floors.index(name.split("/")[0]), name))
    return UMBRELLA_HEAD + "".join(f"#include <tokenheap/{name}>\n" for name in names)


def self_test():
    good = {
        "include/tokenheap/tokenheap.hpp": "#include <tokenheap/core/a.hpp>\n",
        "include/tokenheap/core/a.hpp": "#pragma once\n",
        "tests/core/a.cpp": "// a\n#include <tokenheap/core/a.hpp>\n#include <vector>\n",
    }
    cases = [
        ({}, None),
        ({"tests/core/a.cpp": None}, "has no tests/core/a.cpp"),
        ({"tests/core/a.cpp": "#include <vector>\n#include <tokenheap/core/a.hpp>\n"}, "its first include"),
        ({"tests/core/a.cpp": "// #include <tokenheap/core/a.hpp>\n"}, "its first include"),
        ({"include/tokenheap/tokenheap.hpp": "\n"}, "leaves out"),
        ({"include/tokenheap/tokenheap.hpp": None}, "missing"),
        ({"include/tokenheap/source/cuda.hpp": "\n"}, "or tests/gpu/cuda.cpp"),
    ]
    wrong = []
    for change, expected in cases:
        with tempfile.TemporaryDirectory() as root:
            for name, text in (good | change).items():
                if text is not None:
                    path = pathlib.Path(root) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text)
            problems = check(root)
        if (expected is None) != (not problems) or (expected and not any(expected in p for p in problems)):
            wrong.append(f"planted '{expected}', reported: {problems}")
    tree.finish("mirror self-test", wrong, f"{len(cases)} planted trees judged right")


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    here = pathlib.Path(__file__).resolve().parent.parent
    if "--write" in sys.argv:
        (here / "include" / "tokenheap" / tree.UMBRELLA).write_text(umbrella_text(here))
        sys.exit(0)
    checked = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here
    tree.finish("mirror", check(checked), f"{len(tree.headers(checked))} headers are mirrored by tests and by the umbrella")
