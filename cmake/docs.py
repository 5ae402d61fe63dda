#!/usr/bin/env python3
"""No code is typed into a page: every ```cpp block comes from a marked region of an example that is built and run.

    cmake/docs.py [ROOT]          every block equals its region
    cmake/docs.py --write         takes the blocks anew from the examples
    cmake/docs.py --commands      every script, preset, file and page that the pages name is there
    cmake/docs.py --self-test     plants differences and demands that they are found

In a page, the line before the block says where it comes from:  <!-- examples/hello.cpp [first] -->
In the example, the region stands between two lines:            // [first]
Other languages than cpp are free text, except that `--commands` reads the sh blocks.
"""

import json
import os
import pathlib
import re
import sys
import tempfile
import textwrap

import tree

BLOCK = re.compile(r"(?:^<!-- (?P<file>\S+) \[(?P<region>[\w-]+)\] -->\n+)?^```cpp\n(?P<code>.*?)^```$", re.M | re.S)
SCRIPT = re.compile(r"(?<![\w./-])((?:cmake|benchmarks|tests|examples|docs|\.ci)/[\w./-]+)")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


def pages(root):
    tops = [root / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [page for page in tops if page.is_file()] + sorted((root / "docs").rglob("*.md"))


def region(root, file, name):
    """The text between the two marks, without common indentation; or a complaint as second value."""
    path = root / file
    if not path.is_file():
        return None, f"{file} does not exist"
    if not file.startswith(("examples/", "tests/consumer/")):
        return None, f"{file} is not built as an example"
    parts = re.split(rf"^[ \t]*// \[{re.escape(name)}\][ \t]*\n", path.read_text(), flags=re.M)
    if len(parts) != 3:
        return None, f"{file} has {len(parts) - 1} lines '// [{name}]', not two"
    # marks of other regions inside this one are not shown
    inner = re.sub(r"^[ \t]*// \[[\w-]+\][ \t]*\n", "", parts[1], flags=re.M)
    return textwrap.dedent(inner).strip("\n") + "\n", None


def check(root, write=False):
    problems = []
    for page in pages(root):
        text = page.read_text()
        shown = page.relative_to(root).as_posix()

        def visit(match):
            line = text.count("\n", 0, match.start()) + 1
            if not match["file"]:
                problems.append(f"{shown}:{line}: a cpp block without a line '<!-- examples/FILE.cpp [region] -->' before it")
                return match.group(0)
            code, wrong = region(root, match["file"], match["region"])
            if wrong:
                problems.append(f"{shown}:{line}: {wrong}")
                return match.group(0)
            if code != match["code"] and not write:
                problems.append(f"{shown}:{line}: differs from {match['file']} [{match['region']}]; cmake/docs.py --write takes it anew")
            return f"<!-- {match['file']} [{match['region']}] -->\n```cpp\n{code}```"

        new = BLOCK.sub(visit, text)
        if write and new != text:
            page.write_text(new)
    return problems


def check_commands(root):
    problems = []
    presets = json.loads((root / "CMakePresets.json").read_text())["configurePresets"]
    names = {preset["name"] for preset in presets if not preset.get("hidden")}
    for page in pages(root):
        shown = page.relative_to(root).as_posix()
        fence = None
        for line, text in enumerate(page.read_text().splitlines(), 1):
            if text.startswith("```"):
                fence = None if fence is not None else text[3:].strip()
                continue
            for found in re.findall(r"--preset[= ]([\w-]+)", text):
                if found not in names:
                    problems.append(f"{shown}:{line}: there is no preset '{found}'")
            if fence is None:
                for target in LINK.findall(text):
                    if not (page.parent / target).exists():
                        problems.append(f"{shown}:{line}: the link {target} leads nowhere")
            quoted = [text] if fence == "sh" else re.findall(r"`([^`]*)`", text) if fence is None else []
            for command in quoted:
                for name in SCRIPT.findall(command.split("#")[0] if fence == "sh" else command):
                    path = root / name.rstrip(".")
                    if "*" in command or "<" in command or "NAME" in command or name.endswith("/"):
                        continue
                    if not path.exists():
                        problems.append(f"{shown}:{line}: there is no {name}")
                    elif fence == "sh" and command.strip().startswith(name) and not os.access(path, os.X_OK):
                        problems.append(f"{shown}:{line}: {name} is not executable")
    return problems


def self_test():
    example = "int main() {\n  // [a]\n  int x = 1;\n  // [b]\n  ++x;\n  // [b]\n  // [a]\n}\n"
    good = "# t\n\n<!-- examples/e.cpp [a] -->\n```cpp\nint x = 1;\n++x;\n```\n"
    cases = [
        (good, None),
        (good.replace("= 1", "= 2"), "differs"),
        ("```cpp\nint x;\n```\n", "without a line"),
        (good.replace("[a]", "[c]"), "has 0 lines"),
        (good.replace("e.cpp", "f.cpp"), "does not exist"),
        ("```sh\ncmake/none.sh\n```\n", "there is no cmake/none.sh"),
        ("`cmake --preset nope`\n", "there is no preset 'nope'"),
        ("[x](docs/none.md)\n", "leads nowhere"),
        ("```sh\ncmake/plain.sh\n```\n", "is not executable"),
    ]
    wrong = []
    for text, expected in cases:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, content in {"examples/e.cpp": example, "README.md": text, "cmake/plain.sh": "",
                                  "CMakePresets.json": '{"configurePresets": [{"name": "dev"}]}'}.items():
                (root / name).parent.mkdir(exist_ok=True)
                (root / name).write_text(content)
            problems = check(root) + check_commands(root)
            check(root, write=True)
            if expected == "differs" and (root / "README.md").read_text() != good:
                wrong.append("--write did not take the block anew")
        if (expected is None) != (not problems) or (expected and not any(expected in p for p in problems)):
            wrong.append(f"planted '{expected}', reported: {problems}")
    tree.finish("docs self-test", wrong, f"{len(cases)} planted pages judged right")


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    checked = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parent.parent
    count = len(pages(checked))
    if "--self-test" in sys.argv:
        self_test()
    if "--commands" in sys.argv:
        tree.finish("commands", check_commands(checked), f"what {count} pages name is there")
    tree.finish("docs", check(checked, "--write" in sys.argv), f"the code of {count} pages equals its examples")
