#!/usr/bin/env python3
"""The rules of style that a machine can check: sizes, names, macros, comment share, words that do not ship.

    cmake/house.py [ROOT]         checks a tree and prints the share of comment lines
    cmake/house.py --self-test    plants violations and demands that they are found
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import tree

MAX_LINES = 400
MAX_COLUMNS = 132  # clang-format aims at 120; the rest is for lines that it breaks badly
MAX_FIRST_SENTENCE = 120
MAX_FUNCTION = 40
MAX_PARAMETERS = 3  # of a public template; deductions and packs included
FORBIDDEN = {"manager", "util", "utils", "helper", "helpers", "impl", "handler", "context", "data", "info", "base", "pipe",
             "index", "free", "link", "signal", "select", "stat", "major", "minor", "small", "I", "B0", "unix", "linux"}
FORBIDDEN_PARTS = {"manager", "util", "utils", "helper", "helpers", "impl", "handler", "context"}
# what another library must be told before it is included
SWITCHES = {"LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE"}
ALLOWED = {"failure_handler", "set_failure_handler"}  # the one handler there is
TYPE = re.compile(r"\b(?:class|struct|union|concept|enum class|enum struct|enum)\s+(?:alignas\([^)]*\)\s*|\[\[[^\]]*\]\]\s*)*"
                  r"([A-Za-z_]\w*)\s*(?=[{:;=]|final\b|requires\b|$)")
ALIAS = re.compile(r"\busing\s+([A-Za-z_]\w*)\s*=")
MACRO = re.compile(r"^\s*#\s*define\s+(\w+)", re.M)
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b|not (?:yet )?implemented|\bplaceholder\b", re.I)
TEXT = {".hpp", ".h", ".cpp", ".cu", ".py", ".sh", ".cmake", ".md", ".txt", ".json"}


def names_of_types(code):
    """Public type names of a header; template parameters are not among them."""
    code = re.sub(r"\btemplate\s*<[^<>]*(?:<[^<>]*>[^<>]*)*>", " ", code)
    return [match.group(1) for pattern in (TYPE, ALIAS) for match in pattern.finditer(code)]


def without_templates(code):
    """Code without `template <...>` heads, so that their keywords do not look like definitions."""
    return re.sub(r"\btemplate\s*<[^<>]*(?:<[^<>]*>[^<>]*)*>", lambda head: re.sub(r"[^\n]", " ", head.group(0)), code)


def long_functions(code):
    """(line, lines) of each body longer than allowed; a body is a brace after a parameter list."""
    found, opened, start = [], [], 0
    code = without_templates(code)
    for at, letter in enumerate(code):
        if letter in ";}":
            start = at + 1
        if letter == "{":
            before = code[start:at]
            body = ")" in before and not re.search(r"\b(?:class|struct|union|enum|namespace)\s+\w|=\s*$", before)
            opened.append((at, body))
            start = at + 1
        elif letter == "}" and opened:
            begin, body = opened.pop()
            lines = code.count("\n", begin, at) + 1
            if body and lines > MAX_FUNCTION:
                found.append((code.count("\n", 0, begin) + 1, lines))
    return found


def wide_templates(code):
    """(line, parameters) of each class or concept template with more parameters than allowed."""
    found = []
    for match in re.finditer(r"\btemplate\s*<((?:[^<>]|<(?:[^<>]|<[^<>]*>)*>)*)>\s*(?:class|struct|concept)\b", code):
        flat = re.sub(r"<[^<>]*>", "", re.sub(r"<[^<>]*>", "", match.group(1)))
        flat = re.sub(r"[({][^(){}]*[)}]", "", flat)
        if flat.count(",") + 1 > MAX_PARAMETERS:
            found.append((code.count("\n", 0, match.start()) + 1, flat.count(",") + 1))
    return found


def check_header(shown, text):
    problems = []
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        problems.append(f"{shown}: {len(lines)} lines, {MAX_LINES} allowed")
    if "#pragma once" not in lines:
        problems.append(f"{shown}: no #pragma once")
    code = tree.without_comments(text)
    for name in names_of_types(code):
        if name in ALLOWED:
            continue
        if name in FORBIDDEN or FORBIDDEN_PARTS & set(name.split("_")):
            problems.append(f"{shown}: the name '{name}' is not used in this house")
        elif not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            problems.append(f"{shown}: '{name}' is not snake_case")
    for name in MACRO.findall(code):
        if not name.startswith("TOKENHEAP_") and name not in SWITCHES:
            problems.append(f"{shown}: the macro {name} does not start with TOKENHEAP_")
    for line, lines in long_functions(code):
        problems.append(f"{shown}:{line}: a function of {lines} lines, {MAX_FUNCTION} allowed")
    for line, count in wide_templates(code):
        problems.append(f"{shown}:{line}: a template of {count} parameters, {MAX_PARAMETERS} allowed")
    if re.search(r"\batomic_thread_fence\b", code):
        problems.append(f"{shown}: a stand-alone atomic_thread_fence is invisible to ThreadSanitizer")
    return problems


def first_sentences(shown, text):
    """Complaints about first lines of `///` comments that no longer fit a list."""
    problems, inside = [], False
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"\s*///(?!<) ?(.*)", line)
        if match and not inside and len(match.group(1)) > MAX_FIRST_SENTENCE:
            problems.append(f"{shown}:{number}: the first sentence has {len(match.group(1))} characters, "
                            f"{MAX_FIRST_SENTENCE} allowed")
        inside = bool(match)
    return problems


def comment_share(text):
    """(comment lines, code or comment lines): a line with both counts as code."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return sum(1 for line in lines if line.startswith("//")), len(lines)


def files(root):
    if (root / ".git").exists():
        listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                capture_output=True, text=True)
        if listed.returncode == 0:
            return [root / name for name in listed.stdout.split("\0") if name and (root / name).is_file()]
    return [path for path in sorted(root.rglob("*")) if path.is_file() and "build" not in path.relative_to(root).parts]


def check(root):
    problems, comments, total = [], 0, 0
    for path, name in tree.headers(root):
        text = path.read_text()
        shown = f"include/tokenheap/{name}"
        problems += check_header(shown, text) + first_sentences(shown, text)
        for number, line in enumerate(text.splitlines(), 1):
            for example in re.findall(r"///\s+Example\s+(\S+\.cpp)", line):
                if not (root / example).is_file():
                    problems.append(f"{shown}:{number}: there is no {example}")
        inside, all_lines = comment_share(text)
        comments, total = comments + inside, total + all_lines
    for path in files(root):
        shown = path.relative_to(root).as_posix()
        if path.suffix not in TEXT or shown == "cmake/house.py":
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if UNFINISHED.search(line):
                problems.append(f"{shown}:{number}: unfinished: {line.strip()}")
            if len(line) > MAX_COLUMNS and path.suffix in {".hpp", ".h", ".cpp", ".cu"}:
                problems.append(f"{shown}:{number}: {len(line)} columns, {MAX_COLUMNS} allowed")
            if line != line.rstrip() and path.suffix != ".md":
                problems.append(f"{shown}:{number}: blanks at the end of the line")
    return problems, 100.0 * comments / total if total else 0.0


def self_test():
    good = "#pragma once\n/// A slab.\ntemplate <class Below> class slab { using space = int; };\n#define TOKENHEAP_X 1\n"
    cases = [
        (good, None),
        (good + "struct failure_handler {};\n", None),
        (good + "// no manager here\n", None),
        (good.replace("#pragma once\n", ""), "no #pragma once"),
        (good + "\n" * 400, "lines, 400 allowed"),
        (good + "class block_manager {};\n", "is not used in this house"),
        (good + "struct index;\n", "is not used in this house"),
        (good + "using small = int;\n", "is not used in this house"),
        (good + "struct BlockPool {};\n", "is not snake_case"),
        (good + "#define SLAB_MAX 3\n", "does not start with TOKENHEAP_"),
        (good + "// TODO more\n", "unfinished"),
        (good + "// " + "x" * 140 + "\n", "columns"),
        (good + "/// " + "x" * 121 + "\n", "the first sentence"),
        (good + "void f(int) {\n" + "  g();\n" * 40 + "}\n", "a function of 42 lines"),
        (good + "class c final : public d<(1)> {\n" + "  void g() { if (1) { h(); } }\n" * 50 + "};\n", None),
        (good + "template <class A, class B = x<1, 2>, int C = f(1, 2)> class d {};\n", None),
        (good + "template <class A, class B, class C, class D>\nclass d {};\n", "a template of 4 parameters"),
        (good + "/// Example   examples/none.cpp\n", "there is no examples/none.cpp"),
        (good + "int x; \n", "blanks at the end"),
        (good + "inline void f() { std::atomic_thread_fence(std::memory_order_seq_cst); }\n", "ThreadSanitizer"),
    ]
    wrong = []
    for text, expected in cases:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "include" / "tokenheap" / "core" / "a.hpp"
            path.parent.mkdir(parents=True)
            path.write_text(text)
            problems, _ = check(pathlib.Path(folder))
        if (expected is None) != (not problems) or (expected and not any(expected in p for p in problems)):
            wrong.append(f"planted '{expected}', reported: {problems}")
    tree.finish("house self-test", wrong, f"{len(cases)} planted headers judged right")


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    checked = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    found, share = check(checked)
    tree.finish("house", found, f"{len(tree.headers(checked))} headers; {share:.0f} % of their lines are comments")
