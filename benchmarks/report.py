#!/usr/bin/env python3
"""Makes one Markdown table out of Google Benchmark's JSON: a row per workload.

Benchmarks are named workload/contender. Contenders that begin with "limit" are hand-written limits, those that begin
with "tokenheap" are ours ("tokenheap" alone is the default, others are variants), all others are peers.
"""
import json
import re
import sys


LABELS = {
    "kv blocks 1": "KV blocks, take and give back one",
    "kv blocks 64": "KV blocks, batches of 64, per block",
    "kv blocks scattered 64": "KV blocks, batches of 64 in scattered order, per block",
    "kv requests": "prefix index, whole request, per 16-token block",
    "kv requests hash": "same, hash chain (SipHash)",
    "kv requests xxh3": "same, hash chain (XXH3)",
    "kv requests of 512": "prefix index, per 512-token block, 5,859 blocks",
    "kv requests of 512 hash": "same with 512-token blocks, hash chain (SipHash)",
    "kv requests of 512 xxh3": "same with 512-token blocks, hash chain (XXH3)",
    "kv requests million": "prefix index, 1 million blocks, per 16-token block",
    "kv requests million hash": "same with 1 million blocks, hash chain (SipHash)",
    "kv requests million xxh3": "same with 1 million blocks, hash chain (XXH3)",
    "kv requests resident": "prefix index, 4.2 million blocks resident, per 16-token block",
    "kv requests resident hash": "same with 4.2 million resident, hash chain (SipHash)",
    "kv requests resident xxh3": "same with 4.2 million resident, hash chain (XXH3)",
    "ranges churn 0": "ranges, churn log-uniform 512 B..64 MiB in 4 GiB",
    "ranges churn 1": "ranges, churn uniform 512 B..64 MiB in 4 GiB",
    "ranges churn 2": "ranges, churn of KV sizes in 4 GiB",
    "ranges fill and drain": "ranges, fill and drain",
}
# workload: what must hold of our median; "ns" is the time, the others are counters of the benchmark
TARGETS = {
    "device random sizes up to 1 MiB 10000": {"ns": 60},
    "device random sizes up to 1 MiB 100000": {"ns": 100},
    "device pair 1 KiB beside holes 64": {"ns": 50},
    "device pair 1 KiB beside holes 1024": {"ns": 50},
    "device pair 1 KiB beside holes 16384": {"ns": 50},
    "device pair 1 KiB beside holes 65536": {"ns": 50},
    "device hot pair 1 MiB": {"ns": 20, "device_calls_per_op": 0},
    "device refusal beside holes 0": {"ns": 50, "device_calls_per_op": 0},
    "device refusal beside holes 16384": {"ns": 50, "device_calls_per_op": 0},
    "device streams 128": {"waits_per_op": 0, "records_per_op": 0},
    "device growing scratch": {"reserved_MiB": 180},
    "device packing up to 64 MiB 10000": {"high_water_over_peak": 1.115},
    "device packing up to 4 MiB 10000": {},
    "device packing up to 256 MiB 10000": {},
}
OURS = re.compile(r"(tokenheap|ours)(?:_(\w+))?")
LIMIT = re.compile(r"limit(?:_(\w+))?")


def split(run_name):
    """Returns workload and contender; a benchmark without a peer may name its contender at any place."""
    parts = [p for p in run_name.split("/") if p not in ("real_time", "manual_time") and not p.startswith("iterations:")]
    at = next((k for k, p in enumerate(parts) if OURS.match(p) or LIMIT.match(p)), 1)
    contender = parts.pop(at)
    if ours := OURS.fullmatch(contender):
        contender = "tokenheap" + (f", {ours[2]}" if ours[2] else "")
    elif limit := LIMIT.fullmatch(contender):
        contender = "limit: " + (limit[1] or "by hand")
    workload = " ".join(parts).replace("_", " ")
    return LABELS.get(workload, workload), contender.replace("_", " ")


def nanoseconds(b):
    """The time of one operation: what the benchmark counts itself, or the time of one iteration."""
    if "ns_per_block" in b:
        return b["ns_per_block"]
    if "items_per_second" in b:
        return 1e9 / b["items_per_second"]
    # threads that wait cost no processor time: those workloads are measured by the clock on the wall
    time = b["real_time"] if b["run_name"].endswith("/real_time") else b["cpu_time"]
    return time * {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[b["time_unit"]]


def medians(paths):
    """Returns the times by workload and contender, and our own counters by workload."""
    found = {}
    counters = {}
    for path in paths:
        with open(path, encoding="utf-8") as f:
            run = json.load(f)
        # families keep the order of the source, whatever the order in which they ran
        runs = [b for b in run["benchmarks"] if b.get("aggregate_name") == "median"]
        for b in sorted(runs, key=lambda b: (b["family_index"], b["per_family_instance_index"])):
            workload, contender = split(b["run_name"])
            found.setdefault(workload, {})[contender] = nanoseconds(b)
            if contender == "tokenheap":
                counters[workload] = {"ns": nanoseconds(b)} | {k: v for k, v in b.items() if isinstance(v, float)}
    return found, counters


def best(times, keep):
    chosen = {name: t for name, t in times.items() if keep(name)}
    if not chosen:
        return None, None
    name = min(chosen, key=chosen.get)
    return name, chosen[name]


def cell(name, time):
    return "-" if time is None else f"{time:.2f} ({name})"


def ratio(ours, other):
    return "-" if other is None else f"{ours / other:.2f}"


def main(paths):
    print("| workload | tokenheap, ns | limit, ns | best peer, ns | / limit | / best peer |")
    print("|---|--:|--:|--:|--:|--:|")
    variants = []
    found, counters = medians(paths)
    for workload, times in found.items():
        ours = times.get("tokenheap")
        # a workload without a target for its time is there for its counters
        if ours is None or "ns" not in TARGETS.get(workload, {"ns": 0}):
            continue
        limit = best(times, lambda n: n.startswith("limit") and n != "limit: loop alone")
        peer = best(times, lambda n: not n.startswith(("limit", "tokenheap")))
        limit = (limit[0].partition(": ")[2] if limit[0] else None, limit[1])
        print(f"| {workload} | {ours:.2f} | {cell(*limit)} | {cell(*peer)} | {ratio(ours, limit[1])} | {ratio(ours, peer[1])} |")
        variants += [(workload, n, t) for n, t in times.items() if n != "tokenheap"]
    rows = [(w, k, most, counters[w][k]) for w, t in TARGETS.items() if w in counters for k, most in t.items()]
    if rows:
        print("\nAgainst the targets:\n\n| workload | what | at most | measured | |\n|---|---|--:|--:|---|")
    for workload, what, most, value in rows:
        print(f"| {workload} | {what.replace('_', ' ')} | {most:g} | {value:.3g} | {'met' if value <= most else 'missed'} |")
    print("\nAll contenders, ns:\n\n| workload | contender | ns |\n|---|---|--:|")
    for workload, name, time in variants:
        print(f"| {workload} | {name} | {time:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
