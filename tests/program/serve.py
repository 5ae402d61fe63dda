"""The main job: served requests are decoded again and compared; the books add up; damage is noticed."""
import os
import pty
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from shared import PROGRAM, main, public_trace, run, run_json, trace_file

FEW = ["serve", "--requests", 24, "--scale", 64]
QUICK = ["serve", "--requests", 48, "--scale", 64]
TIMES = {"serve_seconds", "verify_seconds", "latency_ns"}


def without_times(out):
    return {key: value for key, value in out.items() if key not in TIMES}


def request(time, prompt, output, ids):
    return f'{{"timestamp": {time}, "input_length": {prompt}, "output_length": {output}, "hash_ids": {ids}}}\n'


class Serve(unittest.TestCase):
    def check_books(self, out):
        self.assertEqual(out["mismatches"], 0)
        self.assertLessEqual(out["blocks_peak"], out["blocks_total"])
        self.assertLessEqual(out["blocks_mean"], out["blocks_peak"])
        self.assertLess(out["prefix_hit_tokens"], out["prompt_tokens"])
        # each admission and each preemption or end is one call
        calls = {name: out["latency_ns"][name]["calls"] for name in ("open", "grow", "close")}
        self.assertGreaterEqual(calls["open"], out["requests"] + out["preemptions"])
        self.assertEqual(calls["close"], out["requests"] + out["preemptions"])
        self.assertGreaterEqual(calls["grow"], out["generated_tokens"] - out["requests"] - out["preemptions"])
        for name in calls:
            times = out["latency_ns"][name]
            self.assertTrue(0 < times["p50"] <= times["p99"] <= times["max"], times)
        self.assertEqual(set(out["owners"]), {"weights", "kv", "scratch", "requests"})
        for name, owned in out["owners"].items():
            self.assertGreater(owned["peak_bytes"], 0)
            held = name in ("weights", "kv")
            self.assertEqual(owned["current_bytes"], owned["peak_bytes"] if held else 0, name)
        # four layers, keys and values, four heads of sixteen numbers
        token_bytes = 4 * 2 * 4 * 16 * 4
        self.assertEqual(out["owners"]["kv"]["peak_bytes"], out["blocks_total"] * out["block_tokens"] * token_bytes)
        # nothing is computed that was found, and everything else at least once; the last token is never fed back
        least = out["prompt_tokens"] + out["generated_tokens"] - out["requests"] - out["prefix_hit_tokens"]
        self.assertGreaterEqual(out["computed_tokens"], least)
        if out["preemptions"] == 0:
            self.assertEqual(out["computed_tokens"], least)

    def test_all_requests_are_decoded_again(self):
        out = run_json(*QUICK)
        self.check_books(out)
        self.assertEqual((out["requests"], out["verified"], out["rejected"]), (48, 48, 0))
        self.assertGreater(out["prefix_hit_tokens"], 0)
        # at most one block of 16 tokens a request is not full
        self.assertLess(out["waste_percent"], out["reserved_waste_percent"] / 5)

    def test_forks_share_their_prompt(self):
        one = run_json(*FEW)
        for more in ([], ["--device", "sim"]):
            out = run_json(*FEW, "--fork", 3, *more)
            self.assertEqual((out["requests"], out["verified"], out["mismatches"], out["rejected"]), (72, 72, 0, 0))
            self.assertGreater(out["forks"], 24)
            # the prompts of forks are not computed again
            self.assertLess(out["computed_tokens"], one["computed_tokens"] + 2.5 * one["generated_tokens"])
        for seed in (1,):
            out = run_json(*FEW, "--fork", 3, "--blocks", 100, "--watermark", 0, "--block-tokens", 4, "--load", 50,
                           "--seed", seed)
            self.assertEqual(out["requests"] + out["rejected"], 72)
            self.assertEqual((out["verified"], out["mismatches"]), (out["requests"], 0))
            self.assertGreater(out["preemptions"], 0)

    def test_a_hint_keeps_what_is_used_again(self):
        few = ["serve", "--requests", 192, "--scale", 64, "--blocks", 200, "--verify", 4]
        plain, hinted = run_json(*few), run_json(*few, "--policy", "hinted")
        self.assertEqual(plain["logits_digest"], hinted["logits_digest"])
        self.assertGreater(hinted["prefix_hit_tokens"], plain["prefix_hit_tokens"])

    def test_blocks_leave_through_the_tiers_and_come_back(self):
        few = ["serve", "--requests", 40, "--scale", 64, "--blocks", 70]
        plain = run_json(*few)
        with tempfile.TemporaryDirectory() as folder:
            spec = f"device:70,host:40,file:{folder}/kv.tier:64M"
            first, second = run_json(*few, "--tiers", spec), run_json(*few, "--tiers", spec)
            shared = run_json(*few, "--tiers", spec, "--fork", 2, "--tenants", 2, "--policy", "hinted")
        for out in (first, second):
            self.assertEqual((out["mismatches"], out["logits_digest"]), (0, plain["logits_digest"]))
            self.assertGreater(out["tiers"]["file"]["loaded"], 0)
            self.assertEqual(out["tiers"]["file"]["load_failures"] + out["tiers"]["host"]["load_failures"], 0)
        self.assertLess(first["computed_tokens"], plain["computed_tokens"])
        # the file outlives the server: the second run computes little more than what is new in each request
        self.assertEqual(second["tiers"]["file"]["recovered"], first["tiers"]["file"]["blocks"])
        self.assertLess(second["computed_tokens"], first["computed_tokens"] / 2)
        self.assertEqual(shared["mismatches"], 0)
        # names are of a tenant: what nobody's requests stored, tenants do not find
        self.assertEqual(shared["tiers"]["file"]["recovered"], second["tiers"]["file"]["blocks"])

    def test_blocks_leave_through_redis_and_come_back(self):
        server = shutil.which("redis-server") or shutil.which("valkey-server")
        if server is None:
            self.skipTest("no redis-server here")
        few = ["serve", "--requests", 40, "--scale", 64, "--blocks", 70]
        plain = run_json(*few)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        spec = f"device:70,host:40,redis:127.0.0.1:{port}"
        code, _, err = run(*few, "--tiers", spec)
        if code == 2 and "hiredis" in err:
            self.skipTest("built without hiredis")
        self.assertEqual((code, err), (0, ""))  # nobody listens yet: misses, and nothing else
        with tempfile.TemporaryDirectory() as folder:
            with subprocess.Popen([server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                                   "--dir", folder], stdout=subprocess.DEVNULL) as running:
                try:
                    for _ in range(1000):
                        with socket.socket() as knock:
                            if knock.connect_ex(("127.0.0.1", port)) == 0:
                                break
                        time.sleep(0.01)
                    first, second = run_json(*few, "--tiers", spec), run_json(*few, "--tiers", spec)
                finally:
                    running.kill()
        for out in (first, second):
            self.assertEqual((out["mismatches"], out["logits_digest"]), (0, plain["logits_digest"]))
            self.assertGreater(out["tiers"]["redis"]["loaded"], 0)
        # what the first run stored, another process finds
        self.assertLess(second["computed_tokens"], first["computed_tokens"])

    def test_tiers_that_cannot_be(self):
        for spec in ("redis:", "redis:here", "redis:127.0.0.1:0", "redis:127.0.0.1:1,host:1",
                     "host", "host:0", "file:x", "file::1M", "host:1,device:1", "host:1,host:2", "tape:1", "host:1x"):
            code, out, err = run("serve", "--tiers", spec)
            self.assertEqual((code, out), (2, ""), spec)
            self.assertIn("--tiers", err)
        self.assertEqual(run("serve", "--tiers", "host:8", "--device", "sim")[0], 2)

    def test_tenants_find_nothing_of_each_other(self):
        together = run_json(*FEW, "--blocks", 400)
        apart = run_json(*FEW, "--blocks", 400, "--tenants", 3)
        alone = run_json(*FEW, "--blocks", 400, "--tenants", 1)
        self.assertEqual({out["logits_digest"] for out in (together, apart, alone)}, {together["logits_digest"]})
        self.assertLess(apart["prefix_hit_tokens"], together["prefix_hit_tokens"])
        self.assertEqual(alone["prefix_hit_tokens"], together["prefix_hit_tokens"])
        self.assertEqual(together["scrubbed"], 0)
        self.assertGreater(apart["scrubbed"], alone["scrubbed"])
        out = run_json(*FEW, "--tenants", 3, "--device", "sim")
        self.assertEqual((out["mismatches"], out["device"]["violations"]), (0, 0))

    def test_a_full_pool_preempts_and_recomputes(self):
        for seed in (1, 2):
            out = run_json(*QUICK, "--blocks", 130, "--watermark", 0, "--block-tokens", 4, "--load", 50, "--seed", seed)
            self.check_books(out)
            self.assertGreater(out["preemptions"], 0)
            self.assertEqual(out["requests"] + out["rejected"], 48)
            self.assertEqual(out["verified"], out["requests"])

    def test_the_same_seed_gives_the_same_run(self):
        first, second = run_json(*QUICK, "--seed", 7), run_json(*QUICK, "--seed", 7)
        self.assertEqual(without_times(first), without_times(second))
        self.assertNotEqual(without_times(first), without_times(run_json(*QUICK, "--seed", 8)))

    def test_any_shape_of_batch_and_block_gives_the_same_logits(self):
        for options in (["--max-batch", 1], ["--step-tokens", 1], ["--step-tokens", 37, "--block-tokens", 5],
                        ["--block-tokens", 1, "--blocks", 4000], ["--block-tokens", 100], ["--max-batch", 48, "--load", 1000],
                        ["--step-tokens", 4096], ["--watermark", 1]):
            with self.subTest(options):
                out = run_json(*QUICK[:2], 16, *QUICK[3:], *options)
                self.check_books(out)
                self.assertEqual(out["verified"], 16)

    def test_shared_prefixes_are_found(self):
        ids = list(range(8))
        lines = "".join(request(3000 * n, 4096, 64, ids) for n in range(4))
        with trace_file(lines) as path:
            out = run_json("serve", "--trace", path, "--format", "mooncake", "--load", 1)
            # 128 tokens each; of three of them all is found but the last block, which must be computed to sample
            self.assertEqual((out["prompt_tokens"], out["generated_tokens"]), (512, 8))
            self.assertEqual(out["prefix_hit_tokens"], 3 * 112)
            self.check_books(out)
        lines = "".join(request(3000 * n, 4096, 64, [8 * n + k for k in ids]) for n in range(4))
        with trace_file(lines) as path:
            self.assertEqual(run_json("serve", "--trace", path, "--format", "mooncake")["prefix_hit_tokens"], 0)

    def test_too_long_for_the_pool_is_rejected_not_fatal(self):
        lines = request(0, 64000, 32, list(range(125))) + request(0, 640, 32, [0, 900])
        with trace_file(lines) as path:
            out = run_json("serve", "--trace", path, "--format", "mooncake", "--blocks", 20)
        self.assertEqual((out["requests"], out["rejected"], out["verified"]), (1, 1, 1))

    def test_requests_without_tokens_are_left_out(self):
        with trace_file(request(0, 0, 5, []) + request(0, 640, 0, []) + request(0, 640, 32, [1, 2])) as path:
            out = run_json("serve", "--trace", path, "--format", "mooncake")
        self.assertEqual((out["requests"], out["left_out"]), (1, 2))
        with trace_file(request(0, 0, 5, [])) as path:
            code, text, err = run("serve", "--trace", path, "--format", "mooncake", "--json")
        self.assertEqual((code, text), (2, ""))
        self.assertIn("no request has both a prompt and an output", err)

    def test_verify_some(self):
        out = run_json(*QUICK, "--verify", 5)
        self.assertEqual((out["requests"], out["verified"], out["mismatches"]), (48, 5, 0))
        self.assertEqual(run_json(*QUICK, "--verify", 1000)["verified"], 48)
        none = run_json(*QUICK, "--verify", 0)
        self.assertEqual((none["requests"], none["verified"]), (48, 0))

    def test_a_scale_below_one_is_a_factor(self):
        out = [run_json("serve", "--requests", 4, "--scale", scale) for scale in (64, 0.015625)]
        self.assertEqual(without_times(out[0]), without_times(out[1]))

    def test_a_request_that_no_scale_fits(self):
        with trace_file(request(0, 2147483647, 1, [])) as path:
            code, text, err = run("serve", "--trace", path, "--format", "mooncake", "--scale", 2)
        self.assertEqual((code, text), (2, ""))
        self.assertIn("give a larger --scale", err)

    def test_one_flipped_byte_is_noticed(self):
        for block in (0, 3, 17):
            code, out, err = run(*QUICK, "--corrupt-block", block, "--json")
            self.assertEqual(code, 1)
            self.assertRegex(err, r"request \d+, step \d+: logit \d+ differs")
            self.assertRegex(out, r'"mismatches":[1-9]')
            code, out, err = run(*QUICK, "--corrupt-block", block)
            self.assertEqual(code, 1)
            self.assertIn("DIFFER", out)

    def test_public_traces(self):
        mooncake = public_trace("mooncake_conversation.jsonl")
        out = run_json("serve", "--trace", mooncake, "--format", "mooncake", "--requests", 40, "--scale", 64)
        self.check_books(out)
        # the first 40 requests share one system prompt of 512 tokens: 8 after scaling, half a block
        self.assertEqual((out["requests"], out["verified"]), (40, 40))
        azure = public_trace("azure_code.csv")
        out = run_json("serve", "--trace", azure, "--format", "azure", "--requests", 100)
        self.check_books(out)
        self.assertEqual((out["requests"], out["prefix_hit_tokens"]), (100, 0))

    def test_table(self):
        code, out, err = run(*QUICK)
        self.assertEqual((code, err), (0, ""))
        for word in ("requests", "prefix hits", "preemptions", "in use, peak", "empty slots, contiguous", "weights", "kv",
                     "scratch", "open", "grow", "close", "p99", "all logits equal"):
            self.assertIn(word, out)

    def test_progress_is_for_terminals(self):
        terminal, end = pty.openpty()
        with subprocess.Popen([PROGRAM, *map(str, QUICK)], stdout=subprocess.PIPE, stderr=end) as running:
            os.close(end)
            seen = b""
            while True:
                try:
                    piece = os.read(terminal, 4096)
                except OSError:
                    break
                if not piece:
                    break
                seen += piece
            out = running.stdout.read()
        os.close(terminal)
        self.assertEqual(running.returncode, 0)
        self.assertIn(b"serving", seen)
        self.assertIn(b"verifying", seen)
        self.assertNotIn(b"#", out)


if __name__ == "__main__":
    main()
