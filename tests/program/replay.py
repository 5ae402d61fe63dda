"""Replays of allocation traces: made from a seed, the same in three formats; bad files; the case of growing scratch."""
import json
import random
import unittest

from shared import main, run, run_json, trace_file

MIB = 1 << 20
HEAD = "Thread,Time,Action,Pointer,Size,Stream\n"


def calls(seed, count=400, streams=3):
    """A list of (comes, address, bytes, stream), and the most bytes that were live."""
    r = random.Random(seed)
    live, made, now, peak, fresh = [], [], 0, 0, 0x7f0000000000
    for _ in range(count):
        if live and r.random() < 0.45:
            address, size, stream = live.pop(r.randrange(len(live)))
            now -= size
            made.append((False, address, size, stream))
        else:
            size = int(2 ** r.uniform(4, 25))
            # every other address was used before, as allocators do
            gone = [c[1] for c in made if not c[0] and all(c[1] != l[0] for l in live)]
            address = r.choice(gone) if gone and r.random() < 0.5 else fresh
            fresh += 1 << 26
            stream = r.randrange(streams)
            live.append((address, size, stream))
            now += size
            peak = max(peak, now)
            made.append((True, address, size, stream))
    return made, peak, len(live)


def rmm(made):
    return HEAD + "".join(f"1,00:00:00:000001,{'allocate' if comes else 'free'},{a:#x},{n},{s}\n" for comes, a, n, s in made)


def stalloc(made):
    return "".join(f"{int(comes)} {a} {n} {s}\n" for comes, a, n, s in made)


def snapshot(made, indent=None, device=0):
    entries = []
    for comes, a, n, s in made:
        frames = [{"name": "f", "filename": "x.py", "line": 3, "action": {"size": [-1]}}]
        entry = {"action": "alloc" if comes else "free_requested", "addr": a, "size": n, "stream": s, "frames": frames}
        entries.append(entry)
        if not comes:
            entries.append(dict(entry, action="free_completed"))
    entries.insert(0, {"action": "segment_alloc", "addr": 1, "size": 2097152, "stream": 0, "time_us": -1})
    lists = [[] for _ in range(device)] + [entries]
    return json.dumps({"segments": [{"device_traces": 5, "address": 1}], "device_traces": lists, "allocator_settings": {}},
                      indent=indent)


WRITERS = {"rmm-csv": rmm, "stalloc": stalloc, "memory-viz-json": snapshot}


def replay(content, form, *more):
    with trace_file(content) as path:
        return run_json("replay", "--trace", path, "--format", form, *more)


# format, name, content, line, words that the complaint must hold
GOOD_ROW = "1,0,allocate,0x10,64,0\n"
ENTRY = '{"action": "alloc", "addr": 16, "size": 64, "stream": 0}'


def viz(*entries):
    return '{"device_traces": [[\n' + ",\n".join(entries) + "\n]]}\n"


BAD = [
    ("rmm-csv", "empty", "", 1, ["'Action'", "empty"]),
    ("rmm-csv", "no header", GOOD_ROW, 1, ["'Action'", "header"]),
    ("rmm-csv", "no stream column", "Thread,Time,Action,Pointer,Size\n", 1, ["'Stream'", "header"]),
    ("rmm-csv", "a column twice", HEAD.replace("Time", "Size"), 1, ["'Size'", "2 times"]),
    ("rmm-csv", "cut off", HEAD + GOOD_ROW + "1,0,allocate,0x20", 3, ["'Size'", "missing"]),
    ("rmm-csv", "too many columns", HEAD + "1,0,allocate,0x10,64,0,7\n", 2, ["7 columns"]),
    ("rmm-csv", "an unknown action", HEAD + "1,0,steal,0x10,64,0\n", 2, ["'Action'", "steal"]),
    ("rmm-csv", "a negative size", HEAD + "1,0,allocate,0x10,-64,0\n", 2, ["'Size'", "negative"]),
    ("rmm-csv", "a size past 64 bits", HEAD + "1,0,allocate,0x10,99999999999999999999999,0\n", 2, ["'Size'", "too large"]),
    ("rmm-csv", "a size no device has", HEAD + "1,0,allocate,0x10,70368744177665,0\n", 2, ["'Size'", "70368744177664"]),
    ("rmm-csv", "no pointer", HEAD + "1,0,allocate,0xzz,64,0\n", 2, ["'Pointer'", "0xzz"]),
    ("rmm-csv", "a live pointer again", HEAD + GOOD_ROW * 2, 3, ["'Pointer'", "0x10", "twice"]),
    ("rmm-csv", "no stream", HEAD + "1,0,free,0x10,64,\n", 2, ["'Stream'", "missing"]),
    ("rmm-csv", "an open quote", HEAD + '1,0,"allocate,0x10,64,0\n', 2, ["quote"]),
    ("rmm-csv", "nothing but a header", HEAD, None, ["no allocation"]),
    ("rmm-csv", "zero bytes", b"\0\0\0\n", 1, ["'Action'"]),
    ("stalloc", "empty", "", None, ["no allocation"]),
    ("stalloc", "words", "hello world\n", 1, ["'1|0'", "hello"]),
    ("stalloc", "another digit", "2 16 64 0\n", 1, ["'1|0'", "found 2"]),
    ("stalloc", "cut off", "1 16 64 0\n1 32 6", 2, ["'stream'", "missing"]),
    ("stalloc", "a negative size", "1 16 -64 0\n", 1, ["'size'", "negative"]),
    ("stalloc", "a fraction", "1 16 6.5 0\n", 1, ["'size'", "whole number"]),
    ("stalloc", "five fields", "1 16 64 0 9\n", 1, ["'stream'", "9"]),
    ("stalloc", "a live pointer again", "1 16 64 0\n" * 2, 2, ["'ptr'", "twice"]),
    ("stalloc", "bytes", b"\xff\xfe\x00\x01\n", 1, ["'1|0'"]),
    ("memory-viz-json", "empty", "", 1, ["'device_traces'", "cut off"]),
    ("memory-viz-json", "no JSON", "hello\n", 1, ["'device_traces'", "no valid JSON"]),
    ("memory-viz-json", "a list", "[]", 1, ["JSON object"]),
    ("memory-viz-json", "a number", "5", 1, ["JSON object"]),
    ("memory-viz-json", "no traces", '{"segments": []}\n', 2, ["'device_traces'", "missing"]),
    ("memory-viz-json", "traces as an object", '{"device_traces": {}}', 1, ["'device_traces'", "an object"]),
    ("memory-viz-json", "traces as a number", '{"device_traces": 7}', 1, ["'device_traces'", "a number"]),
    ("memory-viz-json", "entries without a device", '{"device_traces": [{}]}', 1, ["list for each device"]),
    ("memory-viz-json", "numbers for entries", '{"device_traces": [[\n1]]}', 2, ["needs objects"]),
    ("memory-viz-json", "lists for entries", '{"device_traces": [[[1]]]}', 1, ["needs objects"]),
    ("memory-viz-json", "no device", '{"device_traces": []}', 1, ["0 devices"]),
    ("memory-viz-json", "no entries", '{"device_traces": [[]]}', None, ["no allocation"]),
    ("memory-viz-json", "traces twice", '{"device_traces": [], "device_traces": []}', 1, ["twice"]),
    ("memory-viz-json", "no action", viz(ENTRY, '{"addr": 1, "size": 2, "stream": 0}'), 3, ["'action'", "missing"]),
    ("memory-viz-json", "no size", viz('{"action": "alloc", "addr": 1, "stream": 0}'), 2, ["'size'", "missing"]),
    ("memory-viz-json", "a negative size", viz(ENTRY, ENTRY.replace("64", "-64")), 3, ["'size'", "-64", "negative"]),
    ("memory-viz-json", "a fraction", viz(ENTRY.replace("64", "6.5")), 2, ["'size'", "6.5", "whole number"]),
    ("memory-viz-json", "past 64 bits", viz(ENTRY.replace("64", "9" * 30)), 2, ["'size'", "64 bits"]),
    ("memory-viz-json", "a text for a size", viz(ENTRY.replace("64", '"64"')), 2, ["'size'", "a text"]),
    ("memory-viz-json", "a number for an action", viz(ENTRY.replace('"alloc"', "1")), 2, ["'action'", "a number"]),
    ("memory-viz-json", "an object for an address", viz(ENTRY.replace("16", "{}")), 2, ["'addr'", "an object"]),
    ("memory-viz-json", "a field twice", viz(ENTRY.replace('"size"', '"addr"')), 2, ["'addr'", "twice"]),
    ("memory-viz-json", "a live address again", viz(ENTRY, ENTRY), 3, ["'addr'", "twice"]),
    ("memory-viz-json", "cut off", viz(ENTRY, ENTRY)[:-45], 3, ["cut off"]),
    ("memory-viz-json", "a zero byte", viz(ENTRY).encode() + b"\0", 4, ["zero byte"]),
    ("memory-viz-json", "text behind it", viz(ENTRY) + "x", 4, ["no valid JSON"]),
]


class BadTraces(unittest.TestCase):
    def test_each_names_file_line_and_field(self):
        for form, name, content, line, words in BAD:
            with self.subTest(name, format=form), trace_file(content) as path:
                code, out, err = run("replay", "--trace", path, "--format", form, "--json")
                self.assertEqual((code, out), (2, ""), err)
                self.assertTrue(err.startswith(f"tokenheap: {path}: " + (f"line {line}: " if line else "")), err)
                self.assertEqual(err.count("\n"), 1, err)
                for word in words:
                    self.assertIn(word, err)

    def test_garbage_is_refused_and_never_crashes(self):
        r = random.Random(7)
        for form, write in WRITERS.items():
            good = write(calls(1, 60)[0]).encode()
            for turn in range(60):
                content = bytearray(good)
                for _ in range(r.randrange(1, 6)):
                    at = r.randrange(len(content))
                    if r.random() < 0.5:
                        content[at] = r.randrange(256)
                    else:
                        del content[at:at + r.randrange(1, 40)]
                with self.subTest(format=form, turn=turn), trace_file(bytes(content)) as path:
                    code, out, err = run("replay", "--trace", path, "--format", form, "--allocator", "pytorch", "--json")
                    self.assertIn(code, (0, 2), err)
                    self.assertEqual(out == "", code == 2)
                    self.assertTrue(code == 0 or err.startswith(f"tokenheap: {path}: "), err)

    def test_options(self):
        for arguments, word in ((["--trace", "x"], "--format"), (["--format", "stalloc"], "--trace"), ([], "--growing-scratch"),
                                (["--growing-scratch", "--allocator", "other"], "pytorch"),
                                (["--growing-scratch", "--capacity", "0"], "--capacity"),
                                (["--trace", "x", "--growing-scratch"], "--trace"),
                                (["--trace", "/nonexistent", "--format", "stalloc"], "No such file"),
                                (["--trace", "/", "--format", "memory-viz-json"], "directory")):
            code, out, err = run("replay", *arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertIn(word, err)


class Replays(unittest.TestCase):
    def test_three_formats_are_one_trace(self):
        for seed in (1, 2, 3):
            made, peak, left = calls(seed)
            for allocator in ("tokenheap", "pytorch"):
                seen = []
                for form, write in WRITERS.items():
                    out = replay(write(made), form, "--allocator", allocator)
                    out.pop("ns_per_operation")
                    seen.append(out)
                with self.subTest(seed=seed, allocator=allocator):
                    self.assertEqual(seen[0], seen[1])
                    self.assertEqual(seen[0], seen[2])
                    out = seen[0]
                    self.assertEqual(out["events"], len(made))
                    self.assertEqual((out["allocations"], out["live_at_end"]), (sum(c[0] for c in made), left))
                    self.assertEqual((out["peak_live_bytes"], out["streams"]), (peak, 3))
                    self.assertEqual((out["failures"], out["failures_in_trace"], out["unmatched_frees"]), (0, 0, 0))
                    self.assertGreaterEqual(out["peak_reserved_bytes"], peak)

    def test_the_page_width_of_a_snapshot_does_not_matter(self):
        made = calls(4)[0]
        plain = replay(snapshot(made), "memory-viz-json")
        pretty = replay(snapshot(made, indent=1, device=2), "memory-viz-json", "--device", 2)
        plain.pop("ns_per_operation")
        pretty.pop("ns_per_operation")
        self.assertEqual(plain, pretty)

    def test_growing_scratch(self):
        theirs = run_json("replay", "--growing-scratch", "--allocator", "pytorch")
        self.assertEqual(theirs["peak_reserved_bytes"], 4356 * MIB)
        self.assertEqual(theirs["device_calls_by_kind"], {"allocate": 33})
        ours = run_json("replay", "--growing-scratch")
        self.assertEqual(ours["peak_live_bytes"], 100 * MIB + 999 * 65536)
        self.assertLessEqual(ours["peak_reserved_bytes"], 180 * MIB)
        self.assertEqual((ours["failures"], ours["waits"]), (0, 0))

    def test_a_small_device(self):
        theirs = run_json("replay", "--growing-scratch", "--allocator", "pytorch", "--capacity", 170)
        self.assertEqual((theirs["failures"], theirs["peak_reserved_bytes"]), (0, 164 * MIB))
        # each of 33 sizes asks once; 32 of them are refused, give the one before back, and ask again
        self.assertEqual(theirs["device_calls_by_kind"], {"allocate": 65, "deallocate": 32})
        short = run_json("replay", "--growing-scratch", "--allocator", "pytorch", "--capacity", 120)
        self.assertEqual(short["failures"], 1000 - 321)
        ours = run_json("replay", "--growing-scratch", "--capacity", 170)
        self.assertEqual(ours["failures"], 0)
        self.assertLessEqual(ours["peak_reserved_bytes"], 170 * MIB)
        self.assertGreater(run_json("replay", "--growing-scratch", "--capacity", 120)["failures"], 600)

    def test_the_rules_of_pytorch(self):
        def reserved(*sizes):
            lines = "".join(f"1 {n + 1} {size} 0\n" for n, size in enumerate(sizes))
            return replay(lines, "stalloc", "--allocator", "pytorch")["peak_reserved_bytes"]

        self.assertEqual(reserved(1), 2 * MIB)
        self.assertEqual(reserved(MIB, MIB), 2 * MIB)
        self.assertEqual(reserved(MIB, MIB, 1), 4 * MIB)
        self.assertEqual(reserved(MIB + 1), 20 * MIB)
        self.assertEqual(reserved(10 * MIB - 513), 20 * MIB)
        self.assertEqual(reserved(10 * MIB - 1), 10 * MIB)
        self.assertEqual(reserved(10 * MIB + 1), 12 * MIB)
        # of 20 MiB at 19.5 half a MiB is not split off
        self.assertEqual(reserved(5 * MIB, 5 * MIB, 5 * MIB, 5 * MIB), 20 * MIB)
        self.assertEqual(reserved(9 * MIB, 9 * MIB, 2 * MIB), 20 * MIB)
        self.assertEqual(reserved(9 * MIB, 9 * MIB + 2 * MIB // 2, MIB + 512), 40 * MIB)

    def test_what_is_left_out_is_counted(self):
        text = (HEAD + "1,0,free,0x99,64,0\n1,0,allocate failure,(nil),64,0\n1,0,allocate,0x50,0,0\n"
                + "1,0,free,0x50,0,0\n1,0,free,(nil),0,0\n" + GOOD_ROW)
        out = replay(text, "rmm-csv")
        self.assertEqual((out["unmatched_frees"], out["failures_in_trace"], out["empty_requests"], out["events"]), (2, 1, 1, 1))

    def test_table(self):
        code, out, err = run("replay", "--growing-scratch", "--allocator", "pytorch")
        self.assertEqual((code, err), (0, ""))
        for word in ("4356.0 MiB", "33 allocate", "96.3 %", "1000 allocations"):
            self.assertIn(word, out)


if __name__ == "__main__":
    main()
