"""The folder of `serve --out`: a page whose numbers are those of the run, and a last line that names it."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from shared import SOURCE, main, run, run_json, trace_file

QUICK = ["serve", "--requests", 48, "--scale", 64, "--verify", 2]
CROWDED = ["serve", "--requests", 48, "--scale", 64, "--verify", 2, "--blocks", 130, "--watermark", 0, "--block-tokens", 4,
           "--load", 50]
TIMES = {"serve_seconds", "verify_seconds", "latency_ns", "report"}


def numbers_of(folder):
    with open(os.path.join(folder, "report.html"), encoding="utf-8") as file:
        page = file.read()
    found = re.findall(r'<script type="application/json" id="numbers">(.*?)</script>', page, re.S)
    assert len(found) == 1
    return page, json.loads(found[0])


def series(numbers, title):
    return next(one for one in numbers["series"] if one["title"] == title)


def line(one, name):
    return next(each["v"] for each in one["lines"] if each["name"] == name)


class ServeReport(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.join(folder.name, "made", "here")

    def check_page(self, out):
        page, numbers = numbers_of(self.folder)
        self.assertLess(len(page), 1 << 20)
        self.assertNotRegex(page, r"https?://(?!www\.w3\.org/2000/svg)")
        blocks = series(numbers, "Blocks by state")
        self.assertEqual(blocks["t"], sorted(blocks["t"]))
        # every block is in one state, at each moment
        for k in range(len(blocks["t"])):
            self.assertEqual(sum(each["v"][k] for each in blocks["lines"]), out["blocks_total"])
        self.assertLessEqual(max(line(blocks, "in use")), out["blocks_peak"])
        self.assertEqual(line(blocks, "in use")[-1], 0)
        memory = series(numbers, "Memory over time, by owner")
        # memory is not given to anybody beside its owner: what is in the picture is what owners held
        kv = [sum(each["v"][k] for each in memory["lines"] if each["name"].startswith("kv")) for k in range(len(memory["t"]))]
        self.assertEqual(set(kv), {out["owners"]["kv"]["peak_bytes"]})
        self.assertEqual(set(line(memory, "weights")), {out["owners"]["weights"]["peak_bytes"]})
        self.assertLessEqual(max(line(memory, "scratch")), out["owners"]["scratch"]["peak_bytes"])
        self.assertGreater(max(line(memory, "scratch")), 0)
        owners = {owner["name"]: owner for owner in numbers["owners"]}
        for name, owned in out["owners"].items():
            self.assertEqual((owners[name]["now"], owners[name]["peak"]), (owned["current_bytes"], owned["peak_bytes"]))
        counts = {one["name"]: sum(one["counts"]) for one in numbers["histograms"]}
        self.assertEqual(counts, {name: one["calls"] for name, one in out["latency_ns"].items()})
        reasons = {one["kind"]: one for one in numbers["reasons"]}
        self.assertEqual(reasons["preempted"]["count"], out["preemptions"])
        self.assertEqual(reasons["rejected"]["count"], out["rejected"])
        cells = numbers["maps"][0]["cells"]
        self.assertEqual(sum(cell[2] for cell in cells), out["blocks_total"])
        in_use = sum(cell[6] + cell[7] for cell in cells)
        self.assertEqual(in_use, max(line(blocks, "in use")))
        return numbers

    def test_a_run_and_its_page_agree(self):
        out = run_json(*QUICK, "--out", self.folder)
        self.assertEqual(out["report"], os.path.join(self.folder, "report.html"))
        self.check_page(out)
        # who watches changes nothing
        plain = run_json(*QUICK)
        self.assertEqual({k: v for k, v in out.items() if k not in TIMES}, {k: v for k, v in plain.items() if k not in TIMES})

    def check_files(self, out):
        where = [os.path.join(self.folder, name) for name in ("snapshot.json", "snapshot.pickle", "trace.json", "metrics.prom")]
        checked = subprocess.run([sys.executable, os.path.join(SOURCE, "tests", "observe", "viz_check.py"), *where[:2]],
                                 capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        with open(where[0], encoding="utf-8") as file:
            snapshot = json.load(file)
        # each block that was in use at last came and went; the states at the end are those of an idle pool
        for events in snapshot["device_traces"]:
            actions = [event["action"] for event in events]
            self.assertEqual(actions.count("alloc"), actions.count("free_completed"))
        kv = next(one for one in snapshot["segments"] if len(one["blocks"]) == out["blocks_total"])
        self.assertEqual((kv["allocated_size"], kv["total_size"]), (0, out["blocks_total"] * out["block_bytes"]))
        self.assertGreaterEqual(max(map(len, snapshot["device_traces"])), 3 * out["blocks_peak"] - 3)
        with open(where[2], encoding="utf-8") as file:
            trace = json.load(file)["traceEvents"]
        names = [event["name"] for event in trace if event["ph"] == "i"]
        self.assertEqual(names.count("preemption"), out["preemptions"])
        evicted = sum(event["args"]["value"] for event in trace if event["name"] == "eviction")
        self.assertEqual(evicted, out["evictions"])
        stays = [event for event in trace if event["ph"] == "b"]
        self.assertGreaterEqual(len(stays), out["requests"])
        self.assertEqual(len(stays), len([event for event in trace if event["ph"] == "e"]))
        with open(where[3], encoding="utf-8") as file:
            metrics = file.read()
        for line in (f'prefix_hit_tokens_total{{pool="kv",[^}}]*}} {out["prefix_hit_tokens"] + out["recomputed_hit_tokens"]}\n',
                     f'latency_seconds_count{{pool="kv",[^}}]*op="open"}} {out["latency_ns"]["open"]["calls"]}\n',
                     f'pool_bytes{{pool="weights",[^}}]*state="live"}} {out["owners"]["weights"]["current_bytes"]}\n'):
            self.assertRegex(metrics, "tokenheap_" + line.replace("{", "\\{", 1))
        if shutil.which("promtool") is not None:
            judged = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, text=True)
            self.assertEqual((judged.returncode, judged.stdout + judged.stderr), (0, ""))

    def test_the_files_beside_the_page(self):
        out = run_json(*CROWDED, "--out", self.folder)
        self.assertEqual(sorted(os.listdir(self.folder)),
                         ["metrics.prom", "report.html", "snapshot.json", "snapshot.pickle", "trace.json"])
        _, numbers = numbers_of(self.folder)
        self.assertEqual(sorted(one["name"] for one in numbers["files"]),
                         ["metrics.prom", "snapshot.json", "snapshot.pickle", "trace.json"])
        self.check_files(out)

    def test_preemptions_have_their_reasons(self):
        out = run_json(*CROWDED, "--out", self.folder)
        self.assertGreater(out["preemptions"], 0)
        numbers = self.check_page(out)
        reasons = {one["kind"]: one for one in numbers["reasons"]}
        for _, who, detail in reasons["preempted"]["events"]:
            self.assertRegex(who, r"^request \d+$")
            self.assertRegex(detail, r"^gave up \d+ blocks with \d+ tokens")
        self.assertGreater(reasons["put off"]["count"], 0)
        for _, _, detail in reasons["put off"]["events"]:
            self.assertRegex(detail, r"^needs \d+ blocks and 0 to be left over; \d+ are available$")

    def test_a_rejected_request_is_told(self):
        lines = ('{"timestamp": 0, "input_length": 64000, "output_length": 32, "hash_ids": %s}\n' % list(range(125)) +
                 '{"timestamp": 0, "input_length": 640, "output_length": 32, "hash_ids": [0, 900]}\n')
        with trace_file(lines) as path:
            out = run_json("serve", "--trace", path, "--format", "mooncake", "--blocks", 20, "--out", self.folder)
        numbers = self.check_page(out)
        rejected = next(one for one in numbers["reasons"] if one["kind"] == "rejected")
        self.assertEqual(rejected["events"], [[0, "request 0", "needs 125 blocks, and the pool has 20"]])

    def test_the_device_has_a_map(self):
        out = run_json(*QUICK, "--device", "sim", "--out", self.folder)
        numbers = self.check_page(out)
        device = numbers["maps"][1]
        handed_out = [state["name"] for state in device["states"]].index("handed out")
        held = sum(cell[6 + handed_out] for cell in device["cells"])
        self.assertGreater(held, out["owners"]["weights"]["peak_bytes"] + out["owners"]["kv"]["peak_bytes"])
        self.assertLessEqual(held, out["device"]["allocated_peak_bytes"])

    def test_the_last_line_names_the_page(self):
        code, text, err = run(*QUICK, "--out", self.folder)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(text.splitlines()[-1], "report: " + os.path.join(self.folder, "report.html"))
        self.assertNotIn("report", run(*QUICK)[1])

    def test_a_folder_that_cannot_be(self):
        with trace_file("x") as path:
            code, text, err = run(*QUICK, "--out", os.path.join(path, "below"))
            self.assertEqual((code, text), (1, ""))
            self.assertIn("--out", err)
            self.assertNotIn("\n", err.strip())


if __name__ == "__main__":
    main()
