#!/usr/bin/env python3
"""Makes one Markdown table out of Google Benchmark's JSON: a row per workload.

Benchmarks are named workload/contender. Contenders that begin with "limit" are hand-written limits, those that begin
with "tokenheap" are ours ("tokenheap" alone is the default, others are variants), all others are peers.
"""
import json
import sys


def medians(paths):
    found = {}
    for path in paths:
        with open(path, encoding="utf-8") as f:
            run = json.load(f)
        for b in run["benchmarks"]:
            if b.get("aggregate_name") != "median":
                continue
            workload, contender = b["run_name"].split("/")[:2]
            # threads that wait cost no processor time: those workloads are measured by the clock on the wall
            time = b["real_time"] if b["run_name"].endswith("/real_time") else b["cpu_time"]
            scale = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[b["time_unit"]]
            # a benchmark that does several operations an iteration counts them
            found.setdefault(workload, {})[contender] = time * scale / b.get("per_operation", 1)
    return found


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
    for workload, times in medians(paths).items():
        ours = times.get("tokenheap")
        if ours is None:
            continue
        limit = best(times, lambda n: n.startswith("limit"))
        peer = best(times, lambda n: not n.startswith(("limit", "tokenheap")))
        limit = (limit[0].partition(": ")[2] if limit[0] else None, limit[1])
        print(f"| {workload} | {ours:.2f} | {cell(*limit)} | {cell(*peer)} | {ratio(ours, limit[1])} | {ratio(ours, peer[1])} |")
        variants += [(workload, n, t) for n, t in times.items() if n != "tokenheap"]
    print("\nAll contenders, ns:\n\n| workload | contender | ns |\n|---|---|--:|")
    for workload, name, time in variants:
        print(f"| {workload} | {name} | {time:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
