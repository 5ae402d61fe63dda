#!/usr/bin/env python3
"""Whether PyTorch's memory viewer can show a snapshot: its opcodes, its tiling, and its trace followed backwards.

    tests/observe/viz_check.py FILE.json FILE.pickle
"""

import json
import pickle
import pickletools
import sys

OPCODES = {"PROTO", "STOP", "MARK", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE",
           "EMPTY_LIST", "EMPTY_DICT", "APPENDS", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"}
STATES = ("active_allocated", "active_pending_free", "inactive")
ACTIONS = {"alloc", "free_requested", "free_completed", "segment_alloc", "segment_free", "segment_map", "segment_unmap",
           "snapshot", "oom"}
FRAME = {"name": str, "filename": str, "line": int}
BLOCK = {"address": int, "size": int, "requested_size": int, "state": str, "frames": list}
SEGMENT = {"device": int, "address": int, "total_size": int, "allocated_size": int, "active_size": int,
           "requested_size": int, "stream": int, "segment_type": str, "segment_pool_id": list, "is_expandable": bool,
           "frames": list, "blocks": list}
EVENT = {"action": str, "size": int, "stream": int, "time_us": int, "compile_context": str, "user_metadata": str,
         "frames": list}
FAR = 1 << 53


class Wrong(Exception):
    pass


def need(true, *what):
    if not true:
        raise Wrong(" ".join(str(one) for one in what))


def check_opcodes(raw):
    need(raw[:2] == b"\x80\x02", "protocol 2")
    marks = []  # for each open mark, how many things lie above it
    for op, argument, at in pickletools.genops(raw):
        need(op.name in OPCODES, op.name, "at", at)
        if op.name == "MARK":
            marks.append(0)
        elif op.name == "APPENDS":
            need(marks.pop() <= 1000, "more than 1000 items at", at)
        elif op.name == "SETITEMS":
            marks.pop()
        elif op.name not in ("PROTO", "STOP", "BINPUT", "LONG_BINPUT") and marks:
            marks[-1] += 1
        if op.name == "LONG1":
            need(argument.bit_length() < 64 and raw[at + 1] <= 8, "long of", raw[at + 1], "bytes")


def check_fields(thing, fields, what):
    need(isinstance(thing, dict), what, "is a dict")
    for name, kind in fields.items():
        need(type(thing.get(name)) is kind, what, name, "is", kind.__name__, thing)
        need(kind is not int or 0 <= thing[name] < FAR, what, name, thing[name])
    need("category" not in thing, what, "has a category")
    for frame in thing.get("frames", []):
        check_fields(frame, FRAME, "frame")


def check_segment(segment):
    check_fields(segment, SEGMENT, "segment")
    need(segment["segment_type"] in ("large", "small"), segment["segment_type"])
    need(len(segment["segment_pool_id"]) == 2, "a pool id is two numbers")
    at = segment["address"]
    sums = dict.fromkeys(STATES, 0)
    requested = 0
    for block in segment["blocks"]:
        check_fields(block, BLOCK, "block")
        need(block["state"] in STATES, block["state"])
        need(block["address"] == at and block["size"] > 0, "a block at", block["address"], "where", at, "is due")
        need(block["requested_size"] <= block["size"] and len(block["frames"]) == 1, "block", block)
        need(block["state"] != "inactive" or block["requested_size"] == 0, "inactive, yet requested", block)
        at += block["size"]
        sums[block["state"]] += block["size"]
        requested += block["requested_size"]
    need(at == segment["address"] + segment["total_size"], "blocks tile", segment["address"])
    need(segment["allocated_size"] == sums["active_allocated"], "allocated_size")
    need(segment["active_size"] == sums["active_allocated"] + sums["active_pending_free"], "active_size")
    need(segment["requested_size"] == requested, "requested_size")


class Replay:
    """One device, from its segments back through its trace."""

    def __init__(self, segments):
        self.runs = sorted((s["address"], s["address"] + s["total_size"]) for s in segments)
        for before, after in zip(self.runs, self.runs[1:]):
            need(before[1] <= after[0], "segments overlap at", after[0])
        self.blocks = {b["address"]: b["state"] for s in segments for b in s["blocks"] if b["state"] != "inactive"}

    def run_of(self, begin, end):
        found = [r for r in self.runs if r[0] <= begin and end <= r[1]]
        need(len(found) == 1, "no segment holds", begin, end)
        return found[0]

    def undo(self, event):
        at, size, action = event.get("addr"), event["size"], event["action"]
        if action == "alloc":
            need(self.blocks.pop(at, None) == "active_allocated", "alloc of what is not allocated later:", at)
            self.run_of(at, at + size)
        elif action == "free_requested":
            need(self.blocks.get(at) == "active_pending_free", "free_requested of what is not pending later:", at)
            self.blocks[at] = "active_allocated"
        elif action == "free_completed":
            need(at not in self.blocks, "free_completed of what is active later:", at)
            self.run_of(at, at + size)
            self.blocks[at] = "active_pending_free"
        elif action in ("segment_alloc", "segment_map"):
            run = self.run_of(at, at + size)
            need(action == "segment_map" or run == (at, at + size), "segment_alloc of a part:", at)
            need(not any(at <= b < at + size for b in self.blocks), action, "of what holds blocks before:", at)
            self.runs.remove(run)
            self.runs += [r for r in ((run[0], at), (at + size, run[1])) if r[0] < r[1]]
        elif action in ("segment_free", "segment_unmap"):
            need(not any(r[0] < at + size and at < r[1] for r in self.runs), action, "of what is there later:", at)
            self.runs.append((at, at + size))
            if action == "segment_unmap":
                self.join()

    def join(self):
        joined = []
        for run in sorted(self.runs):
            if joined and joined[-1][1] == run[0]:
                joined[-1] = (joined[-1][0], run[1])
            else:
                joined.append(run)
        self.runs = joined


def check_trace(segments, trace):
    times = [event["time_us"] for event in trace]
    need(times == sorted(times), "times go back")
    replay = Replay(segments)
    for event in reversed(trace):
        check_fields(event, EVENT, "event")
        need(event["action"] in ACTIONS, event["action"])
        need(len(event["frames"]) == 1, "an event without a frame")
        need(type(event.get("device_free" if event["action"] == "oom" else "addr")) is int, "address of", event)
        replay.undo(event)


def check(snapshot):
    need(set(snapshot) == {"segments", "device_traces", "allocator_settings", "external_annotations"}, set(snapshot))
    for segment in snapshot["segments"]:
        check_segment(segment)
    order = [(s["device"], s["address"]) for s in snapshot["segments"]]
    need(order == sorted(order), "segments in the order of addresses")
    need(all(device < len(snapshot["device_traces"]) for device, _ in order), "a trace for each device")
    for device, trace in enumerate(snapshot["device_traces"]):
        check_trace([s for s in snapshot["segments"] if s["device"] == device], trace)


def main():
    with open(sys.argv[1], "rb") as one, open(sys.argv[2], "rb") as other:
        text, raw = one.read(), other.read()
    try:
        snapshot = json.loads(text)
        check_opcodes(raw)
        loaded = pickle.loads(raw)
        need(loaded == snapshot, "the pickle is not what the JSON is")
        check(loaded)
    except Wrong as wrong:
        print("viz_check:", wrong)
        return 1
    traces = snapshot["device_traces"]
    print(f"viz_check: {len(snapshot['segments'])} segments, {sum(len(s['blocks']) for s in snapshot['segments'])} blocks, "
          f"{sum(map(len, traces))} events in {len(traces)} traces are right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
