#!/usr/bin/env python3
"""One header out of many, for online compilers and other places that take a single file.

    cmake/amalgamate.py                     the core, floors 0 to 4: sources, devices, allocators
    cmake/amalgamate.py --floor 6           every header that needs no toolkit and no third party
    cmake/amalgamate.py --out FILE          into a file instead of stdout; says how large it is
    cmake/amalgamate.py --root DIR          another tree

Each header stands where the umbrella would have it, as it is, comments too. Includes of the standard library and of the system
move to the top, each once; what is included under a condition or after code stays where it is. Equal headers give equal bytes.
"""

import argparse
import pathlib
import re
import sys

import tree

DIRECTIVE = re.compile(r"^\s*#\s*(\w+)")
GUARD = "TOKENHEAP_ONE_HEADER"
HEAD = """\
// tokenheap {version} in one header: {what}, {count} headers.
// SPDX-License-Identifier: Apache-2.0
// Written by cmake/amalgamate.py out of include/tokenheap; change it there. A program includes either this file or
// <tokenheap/...>, never both.
#ifndef {guard}
#define {guard} {floor}

#ifdef TOKENHEAP_VERSION_MAJOR
#error "tokenheap's own headers came before its single header: include one or the other"
#endif

"""


class broken(Exception):
    """A header that cannot be moved into another file without a change of its meaning."""


class single:
    """The text so far. It grows as a preprocessor reads: a header that was here once is not taken again."""

    def __init__(self, root):
        self.top = pathlib.Path(root) / "include" / "tokenheap"
        self.seen, self.others, self.lines = set(), set(), []

    def add(self, name):
        if name in self.seen:
            return
        self.seen.add(name)
        text = (self.top / name).read_text()
        plain = tree.without_comments(text, keep_strings=True).splitlines()
        depth, code, kept = 0, False, []
        for number, (line, shown) in enumerate(zip(text.splitlines(), plain), 1):
            directive = DIRECTIVE.match(shown)
            word = directive.group(1) if directive else ""
            depth += (word in ("if", "ifdef", "ifndef")) - (word == "endif")
            if re.match(r"\s*#\s*pragma\s+once\b", shown):
                continue
            include = tree.INCLUDE.match(shown)
            if word == "include" and not include:
                raise broken(f"{name}:{number}: an include of a macro")
            target = include.group(2) if include else ""
            if target.startswith("tokenheap/"):
                if depth:
                    raise broken(f"{name}:{number}: includes <{target}> under a condition")
                if code:
                    self.section(name, kept)
                    kept = []
                self.add(target.removeprefix("tokenheap/"))
            elif include and not depth and not code:
                self.others.add(target)
            else:
                kept.append(line)
            # where nothing was defined yet, the order of includes is free
            code = code or bool(shown.strip() and (not directive or word in ("define", "undef")))
        self.section(name, kept)

    def section(self, name, lines):
        text = "\n".join(lines).strip("\n")
        if text:
            self.lines.append(f"\n// ---- tokenheap/{name} ----\n{text}\n")


def collect(root, floor):
    """All headers of the floors 0 to `floor`, in the umbrella's order and each behind what it includes."""
    names = [name for _, name in tree.plain_headers(root) if name != tree.UMBRELLA]
    floors = list(tree.FLOORS)
    one = single(root)
    for name in sorted(names, key=lambda name: (floors.index(name.split("/")[0]), name)):
        if tree.FLOORS[name.split("/")[0]] <= floor:
            one.add(name)
    return one


def version(root):
    text = (pathlib.Path(root) / "include/tokenheap/core/config.hpp").read_text()
    return ".".join(re.search(rf"^#define TOKENHEAP_VERSION_{part} (\d+)$", text, re.M).group(1)
                    for part in ("MAJOR", "MINOR", "PATCH"))


def amalgamate(root, floor):
    one = collect(root, floor)
    head = HEAD.format(version=version(root), what=f"floors 0 to {floor}", count=len(one.seen), guard=GUARD, floor=floor)
    includes = "".join(f"#include <{name}>\n" for name in sorted(one.others))
    return f"{head}{includes}{''.join(one.lines)}\n#endif  // {GUARD}\n", len(one.seen)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--floor", type=int, default=4, choices=range(7), help="the highest floor that goes in")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    chosen = parser.parse_args()
    try:
        text, count = amalgamate(chosen.root, chosen.floor)
    except broken as problem:
        sys.exit(f"amalgamate: {problem}")
    if chosen.out is None:
        sys.stdout.write(text)
        return
    chosen.out.write_text(text)
    lines = text.count("\n")
    print(f"amalgamate: {count} headers of floors 0 to {chosen.floor}, {lines} lines, {len(text) // 1024} KiB in {chosen.out}")


if __name__ == "__main__":
    main()
