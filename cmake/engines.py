#!/usr/bin/env python3
"""Runs the proofs of tests/engines, prints their rows as a table and writes docs/engines.md out of them.

    cmake/engines.py LIB_DIR ROOT [--gpu] [--no-write] [NAME...]     the python that runs it runs the proofs too
    cmake/engines.py --self-test                                    plants outputs and demands the right pages

A proof prints lines `ROW {json}`, or leaves with 77 and says why. With names only those run, and the page stays.
Leaves with 1 if a proof failed, or if --gpu was given and a row of the GPU was skipped.
"""

import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

MOST_SECONDS = 1800
KEYS = ("engine", "version", "door", "what", "output", "allocations", "peak_bytes", "engine_peak_bytes", "waste_percent",
        "engine_waste_percent", "overhead_percent", "note")
HEAD = ("#", "engine", "version", "door", "what", "output", "allocations", "peak", "engine's peak", "waste, %",
        "engine's waste, %", "overhead, %")
INTRO = """# Engines on tokenheap's memory

Real engines, unmodified, with their memory from our allocators, each against itself with its own. Written by a run of

```sh
cmake/engines.sh
```

which installs the engines from PyPI, builds our shared libraries and runs `tests/engines/`; ctest runs what is present as
`engine.*`. Outputs are compared to the last bit. `allocations` is what one run asked for; `peak` what we held of the
system's memory at most, and the engine's peak what its own allocator held; waste is what was held above what was asked
for; overhead is time with our memory against time with the engine's own, negative where ours is faster. Where other work
shares the machine, a row moves by a few points from run to run.
"""


def proofs(root):
    """Names and paths of the scripts that print rows; the others are parts of them."""
    found = sorted((root / "tests" / "engines").glob("*.py"))
    return {path.stem: path for path in found if re.search(r'print.*"ROW', path.read_text())}


def rows_of(text):
    """The rows in what a proof printed; a row without its keys is a mistake of the proof."""
    rows = []
    for line in text.splitlines():
        if line.startswith("ROW "):
            row = json.loads(line[4:])
            missing = [key for key in KEYS if key not in row]
            if missing:
                raise ValueError(f"a row without {', '.join(missing)}: {line}")
            rows.append(row)
    return rows


def run(name, path, folder, root):
    """{rows, state, why} of one proof."""
    start = time.monotonic()
    try:
        done = subprocess.run([sys.executable, str(path), str(folder), str(root)], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=MOST_SECONDS, cwd=tempfile.gettempdir())
        text, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        text, code = f"{late.output or ''}\nended after {MOST_SECONDS} s", 1
    made = judge(text, code)
    print(f"engines: {name}: {made['state']} in {time.monotonic() - start:.0f} s {made['why']}", flush=True)
    if made["state"] == "failed":
        print(text[-4000:])
    return made


def judge(text, code):
    """What an output and an exit status mean."""
    said = [line for line in text.splitlines() if line.strip() and not line.startswith("ROW ")]
    try:
        rows = rows_of(text)
    except ValueError as wrong:
        return {"rows": [], "state": "failed", "why": str(wrong)}
    if code == 77:
        return {"rows": rows, "state": "skipped", "why": said[-1].removeprefix("skipped: ") if said else "no reason given"}
    bad = code != 0 or any(row["output"] == "different" for row in rows)
    if bad or not rows:
        return {"rows": rows, "state": "failed", "why": said[-1] if said else "it printed no rows"}
    return {"rows": rows, "state": "ok", "why": f"with {len(rows)} row{'s' * (len(rows) != 1)}"}


def cell(row, key):
    """What stands in the table; the reason of a row that was skipped is its note."""
    skipped = key == "output" and row["output"] == "n/a" and (row["note"] or "").startswith("skipped")
    return "skipped" if skipped else shown(row[key], key)


def shown(value, key=""):
    """A value: bytes in the largest unit that keeps three digits, percents with a sign where they compare."""
    if value is None:
        return "-"
    if key.endswith("bytes"):
        for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size:
                return f"{value / size:.{1 if value < 100 * size else 0}f} {unit}"
        return f"{value} B"
    if key == "overhead_percent":
        return f"{value:+.1f}"
    if key.endswith("percent"):
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(rows):
    """Lines of Markdown that are aligned as text too."""
    cells = [list(HEAD)] + [[str(n)] + [cell(row, key) for key in KEYS[:-1]] for n, row in enumerate(rows, 1)]
    wide = [max(len(line[k]) for line in cells) for k in range(len(HEAD))]
    numbers = [0, *range(6, len(HEAD))]
    lines = ["| " + " | ".join(one.rjust(wide[k]) if k in numbers else one.ljust(wide[k]) for k, one in enumerate(line)) + " |"
             for line in cells]
    rule = ["-" * (wide[k] + 1) + ":" if k in numbers else "-" * (wide[k] + 2) for k in range(len(HEAD))]
    lines.insert(1, "|" + "|".join(rule) + "|")
    return lines


def machine():
    """Cores, processor, system, compiler: what a number depends on."""
    model = re.search(r"^model name\s*:\s*(.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    gnu = subprocess.run(["g++", "-dumpfullversion"], text=True, capture_output=True).stdout.strip()
    one, five, _ = os.getloadavg()
    return (f"{os.cpu_count()} cores of {model[1] if model else platform.machine()}, "
            f"Linux {platform.release().split('-')[0]}, g++ {gnu}, Python {platform.python_version()}; "
            f"load {one:.1f} at the end, {five:.1f} over the last minutes")


def versions(root):
    """What is installed of what cmake/engines.txt names."""
    found = []
    for name in re.findall(r"^([\w-]+)==", (root / "cmake" / "engines.txt").read_text(), re.M):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} (absent)")
    return ", ".join(found)


def page(results, about):
    """docs/engines.md."""
    rows = [row for made in results.values() for row in made["rows"]]
    lines = [INTRO, f"Run on {about['date']}: {about['machine']}.\n", f"Engines: {about['versions']}.\n"]
    lines += table(rows)
    notes = [f"* {n}: {row['note']}." for n, row in enumerate(rows, 1) if row["note"]]
    left = [f"* `{name}`: {made['why']}." for name, made in results.items() if made["state"] != "ok"]
    if notes:
        lines += ["\n## Notes, by the number of the row\n"] + notes
    if left:
        lines += ["\n## Left out\n"] + left
    return re.sub(r"\.\.$", ".", "\n".join(lines), flags=re.M) + "\n"


def self_test():
    row = dict.fromkeys(KEYS) | {"engine": "E", "version": "1", "door": "d", "what": "w", "output": "equal", "allocations": 20475,
                                 "peak_bytes": 3 << 20, "waste_percent": 4.09, "overhead_percent": -1.957, "note": "n"}
    line, wrong = "ROW " + json.dumps(row), []
    cases = [((line, 0), "ok"), ((line, 1), "failed"), (("", 0), "failed"), (("skipped: no E\n", 77), "skipped"),
             ((line.replace("equal", "different"), 0), "failed"), (("ROW {}", 0), "failed"), (("ROW {", 0), "failed")]
    for (text, code), state in cases:
        if judge(text, code)["state"] != state:
            wrong.append(f"{text[:40]!r} with {code} is not {state}")
    no_gpu = row | {"output": "n/a", "note": "skipped: no GPU here"}
    results = {"e": judge(line + "\nROW " + json.dumps(no_gpu), 0), "f": judge("skipped: no F.\n", 77)}
    made = page(results, {"date": "today", "machine": "here", "versions": "none"})
    for part in ("| 1 | E      | 1 ", " 20,475 | 3.0 MiB | ", " -2.0 |", "| skipped | ", "* `f`: no F.\n", "* 1: n.\n",
                 "* 2: skipped: no GPU here.\n"):
        if part not in made:
            wrong.append(f"the page lacks {part!r}:\n{made}")
    print("\n".join(wrong) if wrong else f"engines self-test: {len(cases)} outputs judged right, and their page")
    return 1 if wrong else 0


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    folder, root, names = pathlib.Path(words[0]), pathlib.Path(words[1]), words[2:]
    known = proofs(root)
    if unknown := set(names) - set(known):
        print(f"engines: {', '.join(sorted(unknown))}: none of {', '.join(known)}")
        return 2
    results = {name: run(name, path, folder, root) for name, path in known.items() if not names or name in names}
    rows = [row for made in results.values() for row in made["rows"]]
    print("\n".join(table(rows)))
    failed = [name for name, made in results.items() if made["state"] == "failed"]
    for name, made in results.items():
        if made["state"] != "ok":
            print(f"engines: {name} {made['state']}: {made['why']}")
    if not names and not failed and "--no-write" not in sys.argv:
        about = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "versions": versions(root)}
        (root / "docs" / "engines.md").write_text(page(results, about))
        print("engines: docs/engines.md is written")
    if "--gpu" in sys.argv and any("no GPU" in (row["note"] or "") for row in rows):
        print("engines: --gpu, but no GPU is here")
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(self_test() if "--self-test" in sys.argv else main())
