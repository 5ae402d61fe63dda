"""The main job on the simulated device: no race, books that add up, and the very logits of a run on the host."""
import unittest

from shared import main, run, run_json

QUICK = ["serve", "--requests", 24, "--scale", 64]
TIMES = {"serve_seconds", "verify_seconds", "latency_ns", "owners", "device"}


def without_times(out):
    return {key: value for key, value in out.items() if key not in TIMES}


class ServeOnADevice(unittest.TestCase):
    def check_device(self, out):
        device, owners = out["device"], out["owners"]
        self.assertEqual((device["violations"], device["books_hold"], device["is_clean"]), (0, True, True))
        # at the end of the run weights and KV are out, steps are over
        self.assertEqual(owners["scratch"]["current_bytes"], 0)
        held = owners["weights"]["current_bytes"] + owners["kv"]["current_bytes"]
        self.assertEqual(device["allocated_bytes"], held)
        self.assertEqual(device["allocated_bytes"] + device["cached_bytes"] + device["pending_bytes"], device["reserved_bytes"])
        self.assertLessEqual(device["allocated_peak_bytes"], held + owners["scratch"]["peak_bytes"])
        self.assertLessEqual(device["reserved_peak_bytes"], device["used_peak_bytes"])
        # thirteen pieces for each step and one for its inputs; one copy there, and one back where somebody sampled
        calls, steps = device["calls"], out["steps"]
        self.assertGreater(device["allocations"], 14 * steps)
        self.assertGreater(calls["copy"], steps)
        self.assertGreater(calls["launch"], 40 * steps)
        self.assertEqual(device["device_calls"], sum(calls.values()))
        for made, ended in (("create_event", "destroy_event"), ("create_stream", "destroy_stream"), ("reserve", "unreserve")):
            self.assertEqual(calls[made], calls[ended])

    def test_the_same_logits_as_on_the_host(self):
        # the second one is always short of blocks: it preempts, evicts and recomputes
        for options in ([], ["--blocks", 100, "--watermark", 0, "--block-tokens", 5, "--load", 50, "--step-tokens", 16]):
            with self.subTest(options):
                there = run_json(*QUICK, *options, "--device", "sim")
                self.check_device(there)
                here = run_json(*QUICK, *options)
                self.assertNotIn("device", here)
                self.assertEqual(without_times(there), without_times(here))
                self.assertEqual((there["mismatches"], there["verified"]), (0, there["requests"]))

    def test_the_cache_serves_the_steps(self):
        few, many = (run_json(*QUICK[:2], n, *QUICK[3:], "--verify", 0, "--device", "sim") for n in (12, 24))
        self.assertGreater(many["device"]["allocations"], few["device"]["allocations"] + 100)
        # what the device is asked for does not grow with the number of steps
        self.assertLess(many["device"]["num_device_alloc"], 12)
        self.assertEqual(many["device"]["num_device_free"], 0)
        self.assertEqual(many["device"]["num_sync_all_streams"], 0)

    def test_a_tight_device_lends_between_its_streams(self):
        there = run_json(*QUICK, "--step-tokens", 16, "--device", "sim", "--device-memory", 18)
        self.check_device(there)
        # there is no room for a segment of each stream, so one works in what the other one gave back, behind a wait
        self.assertEqual(there["device"]["reserved_bytes"], 18 << 20)
        self.assertGreater(there["device"]["num_borrows"], 0)
        here = run_json(*QUICK, "--step-tokens", 16)
        self.assertEqual(without_times(there), without_times(here))

    def test_a_device_that_is_too_small(self):
        for mib, words in ((8, ["need 12582912 bytes", "limit 8388608"]), (16, ["limit 16777216", "kv holds 12582912"])):
            code, out, err = run(*QUICK, "--device", "sim", "--device-memory", mib)
            self.assertEqual((code, out), (1, ""))
            for word in ["pool 'sim'", "weights holds", *words]:
                self.assertIn(word, err)

    def test_one_flipped_byte_is_noticed(self):
        code, out, err = run(*QUICK, "--corrupt-block", 3, "--device", "sim")
        self.assertEqual(code, 1)
        self.assertRegex(err, r"request \d+, step \d+: logit \d+ differs")
        self.assertIn("DIFFER", out)

    def test_table(self):
        code, out, err = run(*QUICK, "--verify", 2, "--device", "sim")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"violations +0 ")
        for word in ("of 8192.0 MiB", "kernels", "copies", "pieces handed out", "reserved", "pending"):
            self.assertIn(word, out)

    def test_wrong_options(self):
        for options, word in ((["--device", "gpu"], "needs host or sim, found 'gpu'"),
                              (["--device-memory", 8], "add --device sim"),
                              (["--device", "host", "--device-memory", 8], "add --device sim"),
                              (["--device", "sim", "--device-memory", 0], "from 1 to 1048576")):
            code, out, err = run(*QUICK, *options)
            self.assertEqual((code, out), (2, ""), options)
            self.assertIn(word, err)


if __name__ == "__main__":
    main()
