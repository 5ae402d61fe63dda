#!/usr/bin/env python3
"""Shows that the tests of the caching allocator can fail: plants one bug at a time and demands that it is found.

    cmake/mutants.py [--compiler g++] [--jobs 2] [--table]

Each mutant is one replacement in one header. tests/mutants/hunt.cpp is compiled against the patched headers and must
fail; against the headers as they are it must pass. --table prints the rows of docs/caching-tests.md.
"""

import argparse
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
ALLOC = "include/tokenheap/alloc/"

# name, what the bug is, header, what stands there, what the bug makes of it
MUTANTS = [
    ("record-after-wait", "the event is recorded after the other stream was told to wait for it", "caching_waits.hpp",
     "    status = device_.record(e, entry.stream);\n    if (status) {\n      lock_.lock();\n      ++num_events_;\n      lock_.unlock();\n      status = device_.wait(to, e);\n    }",
     "    status = device_.wait(to, e);\n    if (status) {\n      lock_.lock();\n      ++num_events_;\n      lock_.unlock();\n      status = device_.record(e, entry.stream);\n    }"),
    ("no-wait", "a piece of another stream is taken without a wait", "caching_waits.hpp",
     "      status = device_.wait(to, e);\n    }", "    }"),
    ("merge-across-streams", "neighbours merge whatever their streams: the dependency of one is lost", "caching_core.hpp",
     "pieces_[n].state == piece_state::cached && pieces_[n].shelf == shelf_number;",
     "pieces_[n].state == piece_state::cached && shelf_number != 0;"),
    ("handle-not-identity", "a stream is known by its handle, which another stream may have by now", "caching_waits.hpp",
     "    if (status && !(now == entry.stream)) status = {device_error::invalid_handle, 0};\n", ""),
    ("record-error-ignored", "an event that could not be recorded is waited for all the same", "caching_waits.hpp",
     "    status = device_.record(e, entry.stream);\n", "    static_cast<void>(device_.record(e, entry.stream));\n"),
    ("query-error-is-ready", "an error of a query is read as ready", "caching_waits.hpp",
     "        done = static_cast<bool>(status);\n", "        done = status.error != device_error::not_ready;\n"),
    ("use-forgotten", "record_stream notes nothing", "caching_waits.hpp",
     "  [[nodiscard]] bool add_use(std::uint32_t n, stream by) noexcept {\n",
     "  [[nodiscard]] bool add_use(std::uint32_t n, stream by) noexcept {\n    if (by.id != 0 || n != 0) return true;\n"),
    ("use-record-error-ignored", "a use whose event was not recorded counts as done", "caching_waits.hpp",
     "        done = uses_[u].recorded;\n", "        if (!uses_[u].recorded) continue;\n"),
    ("unmap-without-wait", "pages go while their stream still uses them", "caching_reclaim.hpp",
     "now == entry.stream ? device_.synchronize(entry.stream) : device_.synchronize();", "device_status{};"),
    ("sync-error-ignored", "a failed wait for the device is taken for a wait", "caching_reclaim.hpp",
     "      if (status) pieces_[n].shelf = r.shelf;\n", "      pieces_[n].shelf = r.shelf;\n"),
    ("pool-in-use-released", "the memory of a pool that graphs still use is given back", "caching_reclaim.hpp",
     "return pool != 0 && this->pools_.uses(pool) != 0;", "return pool != 0 && this->pools_.uses(pool) > 1'000;"),
    ("event-in-capture", "a piece freed during a capture records its event there", "caching_waits.hpp",
     "    if (status && capturing) status = {device_error::capture_refused, 0};\n    if (status) status = get_event(e);\n",
     "    if (status) status = get_event(e);\n"),
    ("owner-keeps", "an owner is not given back what was freed", "caching_returns.hpp",
     "    owners_.give(p.owner, size);\n", ""),
    ("double-free-taken", "a piece that is free already is taken back once more", "caching_returns.hpp",
     "    if (p.state != piece_state::out) [[unlikely]] return lock_.unlock(), complain(errc::double_free, a);\n", ""),
    ("limit-not-counted", "growth does not look at the limit", "caching_growth.hpp",
     "    return reserved_ < options_.limit ? options_.limit - reserved_ : 0;\n", "    return ~std::size_t{0};\n"),
    ("last-event-unrecorded", "a retired stream's last event is not recorded", "caching_returns.hpp",
     "      status = device_.record(last, s);\n", "      status = {};\n"),
    ("warm-of-another-size", "the piece that came back last serves any request", "caching_core.hpp",
     "    if (s.warm_size != size || ", "    if (s.warm_size == 0 || "),
    ("live-segment-released", "a segment with live pieces is given back", "caching_reclaim.hpp",
     "g.kind != segment_kind::fixed || g.live != 0 ||", "g.kind != segment_kind::fixed ||"),
    ("failed-borrow-keeps", "a piece that could not be waited for stays with nobody", "caching_waits.hpp",
     "      this->give(got);\n", ""),
    ("failed-map-loses", "the free piece ahead of a failed mapping is lost", "caching_growth.hpp",
     "        if (at.ahead != none) this->shelve(at.ahead);\n        if (at.behind", "        if (at.behind"),
]


def hunt(compiler, include, out):
    """What tests/mutants/hunt.cpp says against a tree of headers: (compiled, exit status, last line)."""
    built = subprocess.run([compiler, "-std=c++20", "-O1", "-w", "-I", str(include), str(ROOT / "tests/mutants/hunt.cpp"),
                            "-o", str(out)], capture_output=True, text=True)
    if built.returncode != 0:
        return False, None, built.stderr.strip()[-400:]
    try:
        ran = subprocess.run([str(out)], capture_output=True, text=True, errors="replace", timeout=120)
    except subprocess.TimeoutExpired:
        return True, 124, "does not end"
    lines = ran.stdout.strip().splitlines()
    return True, ran.returncode, lines[-1] if lines else f"stopped by signal {-ran.returncode}"


def try_mutant(mutant, compiler, folder):
    name, _, header, old, new = mutant
    tree = folder / name
    shutil.copytree(ROOT / "include", tree / "include")
    path = tree / ALLOC / header
    text = path.read_text()
    if text.count(old) != 1:
        return False, f"the text to replace stands {text.count(old)} times in {header}"
    path.write_text(text.replace(old, new))
    compiled, status, line = hunt(compiler, tree / "include", tree / "hunt")
    shutil.rmtree(tree)
    if not compiled:
        return False, "does not compile: " + line
    return status != 0, line


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        compiled, status, line = hunt(options.compiler, ROOT / "include", folder / "hunt")
        if not compiled or status != 0:
            sys.exit(f"mutants: without a bug the hunt must find nothing, but: {line}")
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            answers = list(pool.map(lambda m: try_mutant(m, options.compiler, folder), MUTANTS))
    missed = 0
    for mutant, (caught, line) in zip(MUTANTS, answers):
        missed += not caught
        if options.table:
            print(f"| {mutant[0]} | {mutant[1]} | {line.removeprefix('found: ').replace('|', '/')} |")
        else:
            print(f"{'found ' if caught else 'MISSED'} {mutant[0]}: {line}")
    print(f"mutants: {len(MUTANTS) - missed} of {len(MUTANTS)} found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
