#!/usr/bin/env python3
"""An unmodified program runs on our memory by LD_PRELOAD, with the same output, and a report that names who took what.

    preload.py LIBRARY PROGRAM BOUND     LIBRARY is libtokenheap_ggml.so; BOUND is PROGRAM over a library linked with -Bsymbolic
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

WEIGHTS, CACHE, FORGOTTEN, AMX = 3_000_000, 1 << 20, 4096, 700_000


def run(program, library=None, **environment):
    given = {name: value for name, value in os.environ.items() if not name.startswith("TOKENHEAP_GGML")} | environment
    if library is not None:
        given["LD_PRELOAD"] = library
    ended = subprocess.run([program], env=given, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended
    return ended


def main():
    library, program, bound = sys.argv[1:4]
    own, ours = run(program), run(program, library)
    assert own.stdout == ours.stdout and own.stderr == "", (own, ours)

    told = ours.stderr
    head = re.search(r"ggml in process \d+: (\d+) pieces, 0 refused; at the peak (\d+) bytes asked, (\d+) held", told)
    assert head, told
    pieces, asked, held = map(int, head.groups())
    assert pieces == 4 + 1 + 1 + 1 + 200, pieces
    # both threads may have had a piece of scratch at the peak, or none of them
    base = WEIGHTS + CACHE + FORGOTTEN + AMX
    assert base + 500 <= asked <= base + 2 * 884, asked
    assert asked < held <= asked + 4 * 4096 + 4096 + (64 << 10), (asked, held)
    for owner, bytes_then, count in (("load_weights", WEIGHTS, 4), ("open_cache", CACHE, 1), ("forget", FORGOTTEN, 1),
                                     ("use_amx", AMX, 1)):
        assert re.search(rf" {bytes_then} bytes at the peak, {count} pieces in all: engine::{owner}\n", told), (owner, told)
    assert re.search(r" 200 pieces in all: engine::compute\n", told), told
    # the one that ended by free() is named too, with a word about it
    assert re.findall(r"still out: .*", told) == [f"still out: {AMX} bytes in 1 pieces: engine::use_amx",
                                                  f"still out: {FORGOTTEN} bytes in 1 pieces: engine::forget"], told
    assert "  1 of these may have ended by free()" in told, told

    with tempfile.TemporaryDirectory() as folder:
        report, stacks = pathlib.Path(folder) / "report", pathlib.Path(folder) / "stacks"
        for _ in range(2):
            quiet = run(program, library, TOKENHEAP_GGML_REPORT=str(report), TOKENHEAP_GGML_STACKS=str(stacks),
                        TOKENHEAP_GGML_HUGE="1")
            assert quiet.stdout == own.stdout and quiet.stderr == "", quiet
        assert report.read_text().count("ggml in process") == 2
        folded = stacks.read_text().splitlines()
        assert any("engine::load_weights" in line and line.endswith(" 300000") for line in folded) or \
            any("engine::load_weights" in line and line.endswith(f" {WEIGHTS}") for line in folded), folded
        # no report is not no stacks, and a file that cannot be had is told
        off = run(program, library, TOKENHEAP_GGML_REPORT="off", TOKENHEAP_GGML_STACKS=str(stacks))
        assert off.stderr == "" and len(stacks.read_text().splitlines()) > len(folded), off
        lost = run(program, library, TOKENHEAP_GGML_REPORT=f"{folder}/none/report").stderr
        assert lost.startswith(f"tokenheap: TOKENHEAP_GGML_REPORT={folder}/none/report cannot be opened\n"), lost
        assert "ggml in process" in lost, lost
    assert run(program, library, TOKENHEAP_GGML_REPORT="off").stderr == ""

    # where ggml calls itself without the dynamic linker nobody can stand in for it, and the report says so
    deaf = run(bound, library)
    assert deaf.stdout == own.stdout and "ggml asked for nothing here" in deaf.stderr, deaf
    # and a program without ggml is left in peace
    assert run("/bin/true", library).stderr == ""
    print(f"preload: equal output; {pieces} pieces, {asked} bytes asked and {held} held at the peak, 5 owners, 1 leak")


main()
