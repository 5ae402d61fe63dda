#!/usr/bin/env python3
"""The API reference: doxygen over every header, without a warning, and with the words of our comments as headings.

    cmake/doxygen.py DOXYGEN [--root DIR] [--out DIR]    builds the reference and judges it
    cmake/doxygen.py --filter HEADER                     what doxygen reads instead of the header; docs/Doxyfile calls it
    cmake/doxygen.py --list DOXYGEN                      public types and concepts that have no comment
    cmake/doxygen.py --self-test DOXYGEN                 plants mistakes and demands that they are found
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

import tree

WORDS = ("Requires", "Returns", "Fails", "Threads", "Streams", "Cost", "Example", "Source")
SECTION = re.compile(rf"^(\s*///) ({'|'.join(WORDS)}) {{2,}}(.*)$")
# doxygen 1.9 takes the quotes inside a raw string for the ends of strings, and a constraint behind a list of parameters for
# the beginning of an initializer
RAW = re.compile(r'R"(\w*)\(.*?\)\1"', re.S)
CONSTRAINT = re.compile(r"^\s+requires [^(][^{;]*([{;]?)$")
MORE = re.compile(r"^(\s*///) {6,}(\S.*)$")
# a page that must hold these headings, or the filter and doxygen no longer agree
KNOWN = ("tokenheap::caching_allocator", ("Requires", "Returns", "Fails", "Threads", "Streams", "Cost", "Example"))


def quoted(text):
    """An example is code, or a path in the tree: either way to be shown as it stands."""
    return text if "`" in text else f"`{text}`"


def filtered(text):
    """A header as doxygen should read it. Lines keep their numbers."""
    text = RAW.sub(lambda match: '""' + "\n" * match.group(0).count("\n"), text)
    out, section, before = [], None, ""
    for number, line in enumerate(text.splitlines()):
        match = SECTION.match(line)
        if number == 0 and line.startswith("// "):
            line = f"/** @file\n@brief {line[3:]} */"
        elif re.match(r"\s*(inline namespace v0 \{|\}\s*// namespace v0)\s*$", line):
            line = ""  # nobody writes it
        elif CONSTRAINT.match(line) and before.endswith(("noexcept", "const", ")")):
            line = CONSTRAINT.match(line).group(1)
        elif match:
            section = match.group(2)
            told = quoted(match.group(3)) if section == "Example" else match.group(3)
            line = f"{match.group(1)} @told{{{section}}} {told}"
        elif section and MORE.match(line):
            start, told = MORE.match(line).groups()
            line = f"{start} {quoted(told) if section == 'Example' else told}"
        else:
            section = None
        before = line if line.strip() else before
        out.append(line)
    # the first comment became two lines
    return "\n".join(out[:1] + out[2:] if out[1:2] == ["#pragma once"] else out) + "\n"


def build(doxygen, root, out):
    """Runs doxygen; the warnings."""
    settings = (root / "docs/Doxyfile").read_text()
    # the filter once for all files: a process for each takes longer than doxygen does
    copies = out / "filtered"
    for path, _ in tree.headers(root):
        copy = copies / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(filtered(path.read_text()))
    (copies / "docs").mkdir(exist_ok=True)
    shutil.copy(root / "docs/reference.md", copies / "docs/reference.md")
    settings += f"\nOUTPUT_DIRECTORY = {out}\nGENERATE_XML = YES\nWARN_LOGFILE = {out}/warnings.txt\nFILTER_PATTERNS =\n"
    run = subprocess.run([doxygen, "-"], input=settings, cwd=copies, capture_output=True, text=True)
    log = out / "warnings.txt"
    warnings = [line for line in log.read_text().splitlines() if line.strip()] if log.is_file() else []
    if run.returncode != 0 and not warnings:
        warnings = [f"doxygen ended with {run.returncode}: {run.stderr.strip()}"]
    return [line.replace(f"{copies}/", "") for line in warnings]


def compounds(out):
    """(qualified name, kind, element) of each type, concept and namespace."""
    for path in sorted((out / "xml").glob("*.xml")):
        if path.name.startswith(("class", "struct", "union", "concept", "namespace")):
            for element in xml.etree.ElementTree.parse(path).getroot().iter("compounddef"):
                yield element.findtext("compoundname"), element.get("kind"), element


def described(element):
    return any("".join(part.itertext()).strip() for part in
               (element.find("briefdescription"), element.find("detaileddescription")) if part is not None)


def bare_types(out, concepts=False):
    """Public types and enums without a comment. A concept that asks one question has its name for a comment."""
    found = []
    for name, kind, element in compounds(out):
        inner = element.get("prot") not in (None, "public") or "@" in name or "<" in name
        if kind != "namespace" and (kind != "concept" or concepts) and not inner and not described(element):
            found.append((element.find("location").get("file"), name))
        for member in element.iter("memberdef"):
            if member.get("kind") == "enum" and member.get("prot") == "public" and not described(member) \
                    and not member.findtext("name").startswith("@") and member.findtext("name"):
                found.append((member.find("location").get("file"), f"{name}::{member.findtext('name')}"))
    return sorted(set(found))


def headings(out, wanted):
    """The headings on the page of one type, or None where it has no page."""
    for name, _, element in compounds(out):
        if name == wanted:
            described_at = element.find("detaileddescription")
            return [part.findtext("title") for part in described_at.iter("simplesect")]
    return None


def judge(doxygen, root, out, known=KNOWN):
    problems = build(doxygen, root, out)
    seen = headings(out, known[0])
    if seen is None:
        problems.append(f"{known[0]} has no page")
    elif missing := [word for word in known[1] if word not in seen]:
        problems.append(f"the page of {known[0]} has no heading {', '.join(missing)}; it has {', '.join(seen) or 'none'}")
    problems += [f"{path}: {name} has no comment" for path, name in bare_types(out)]
    return problems


PLAIN = """// One thing.
#pragma once
namespace tokenheap {
inline namespace v0 {
/// Holds one thing, such as `with<a_thing>`.
///
/// Requires  a caller, who
///           reads on
/// Cost      O(1)
/// Example   thing<host> one({.n = 4});
template <class T>
struct thing {
  int f(int n) noexcept;  ///< f
};
}  // namespace v0
}  // namespace tokenheap
"""
# what is put in the place of what, and what must be said then (None: nothing)
PLANTED = [
    ("", "", None),
    ("  int f", "  /// F.\n  /// @param m is not there\n  int f", "'m' of command @param is not found"),
    ("Holds one", "Holds @ref nothing_of_the_kind one", "unable to resolve reference"),
    ("Holds one", "Holds <b>one", "end of comment block while expecting command </b>"),
    ("/// Cost      O(1)", "/// Costs O(1)", "has no heading Cost"),
    ("struct thing {", "struct other {", "tokenheap::thing has no page"),
    ("}  // namespace v0", "struct bare { int x; };\n}  // namespace v0", "tokenheap::bare has no comment"),
    ("}  // namespace v0", "enum class bare { x };\n}  // namespace v0", "tokenheap::bare has no comment"),
    ("}  // namespace v0", "namespace detail { struct own { int x; }; }\n}  // namespace v0", None),
]


def self_test(doxygen, root):
    wrong = []
    if filtered(PLAIN).count("\n") != PLAIN.count("\n"):
        wrong.append("the filter moves lines")
    for old, new, expected in PLANTED:
        with tempfile.TemporaryDirectory() as folder:
            at = pathlib.Path(folder)
            (at / "include/tokenheap").mkdir(parents=True)
            (at / "include/tokenheap/a.hpp").write_text(PLAIN.replace(old, new, 1))
            shutil.copytree(root / "cmake", at / "cmake", ignore=shutil.ignore_patterns("__pycache__"))
            (at / "docs").mkdir()
            shutil.copy(root / "docs/Doxyfile", at / "docs/Doxyfile")
            shutil.copy(root / "docs/reference.md", at / "docs/reference.md")
            (at / "out").mkdir()
            problems = judge(doxygen, at, at / "out", ("tokenheap::thing", ("Requires", "Cost", "Example")))
        if (not problems) != (expected is None) or (expected and not any(expected in one for one in problems)):
            wrong.append(f"{new!r}: expected {expected}, found {problems}")
    tree.finish("doxygen self-test", wrong, f"{len(PLANTED)} planted headers judged right")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--filter"]:
        sys.stdout.write(filtered(pathlib.Path(sys.argv[2]).read_text()))
        sys.exit(0)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("doxygen")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--out", type=pathlib.Path, help="where the pages go; otherwise they are judged and thrown away")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    chosen = parser.parse_args()
    if chosen.self_test:
        self_test(chosen.doxygen, chosen.root)
    with tempfile.TemporaryDirectory() as scratch:
        place = (chosen.out or pathlib.Path(scratch)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        if chosen.list:
            build(chosen.doxygen, chosen.root, place)
            tree.finish("doxygen", [], "\n".join(f"{path}: {name}" for path, name in bare_types(place, concepts=True)))
        found = judge(chosen.doxygen, chosen.root, place)
        types = sum(1 for _, kind, _ in compounds(place) if kind != "namespace")
        tree.finish("doxygen", found, f"{types} types and concepts, no warning, each type with a comment")
