#!/usr/bin/env python3
"""A file that must not compile, for the reason that its first line names: `// expect: phrase of the message`.

    cmake/compile_fail.py COMPILER FILE [FLAG ...]
    cmake/compile_fail.py --self-test COMPILER
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import tree


def check(compiler, path, flags):
    lines = path.read_text().splitlines() or [""]
    match = re.fullmatch(r"// expect: (\S.*?)\s*", lines[0])
    if not match:
        return f"{path.name}:1: the first line must be '// expect: phrase of the message'"
    run = subprocess.run([compiler, "-std=c++20", "-fsyntax-only", *flags, str(path)], capture_output=True, text=True,
                         env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"})
    if run.returncode == 0:
        return f"{path.name}: compiles, but must be refused with '{match.group(1)}'"
    if match.group(1) not in run.stderr:
        return f"{path.name}: refused, but the message lacks '{match.group(1)}':\n{run.stderr}"
    return None


def self_test(compiler):
    cases = [
        ("// expect: boom\nstatic_assert(false, \"boom\");\n", None),
        ("// expect: boom\nint x;\n", "compiles, but must be refused"),
        ("// expect: boom\nstatic_assert(false, \"bang\");\n", "the message lacks"),
        ("static_assert(false);\n", "the first line must be"),
        ("", "the first line must be"),
    ]
    wrong = []
    for text, expected in cases:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.cpp"
            path.write_text(text)
            found = check(compiler, path, [])
        if (expected is None) != (found is None) or (expected and expected not in found):
            wrong.append(f"{text!r} gave {found}")
    tree.finish("compile_fail self-test", wrong, f"{len(cases)} planted files judged right")


if __name__ == "__main__":
    if sys.argv[1] == "--self-test":
        self_test(sys.argv[2])
    problem = check(sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:])
    tree.finish("compile_fail", [problem] if problem else [], f"{pathlib.Path(sys.argv[2]).name} is refused as it should be")
