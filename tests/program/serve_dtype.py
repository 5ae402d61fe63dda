"""Quantised keys and values: the paged server and a plain decoder with the same quantiser give the same bits."""
import tempfile
import unittest

from shared import main, run, run_json

FEW = ["serve", "--requests", 10, "--scale", 128]
TYPES = ["float32", "float16", "bfloat16", "fp8", "int8", "int4", "nvfp4", "mxfp4"]
# four layers, keys and values, four heads of sixteen numbers and their scales, for 16 tokens
HEADS = 4 * 2 * 4 * 16
BYTES = {"float32": 64, "float16": 32, "bfloat16": 32, "fp8": 16, "int8": 16 + 4, "int4": 8 + 4, "nvfp4": 8 + 1, "mxfp4": 8 + 1}


class ServeDtype(unittest.TestCase):
    def check(self, out, name):
        self.assertEqual((out["kv_dtype"], out["mismatches"]), (name, 0))
        self.assertEqual(out["verified"], out["requests"])
        self.assertGreater(out["verified"], 0)

    def test_every_format_is_decoded_again(self):
        digests = {}
        for name in TYPES:
            out = run_json(*FEW, "--kv-dtype", name)
            self.check(out, name)
            self.assertEqual(out["block_bytes"], HEADS * BYTES[name], name)
            self.assertEqual(out["owners"]["kv"]["peak_bytes"], out["blocks_total"] * out["block_bytes"])
            digests[name] = out["logits_digest"]
        self.assertEqual(len(set(digests.values())), len(TYPES), digests)
        self.assertEqual(digests["float32"], run_json(*FEW)["logits_digest"])

    def test_blocks_of_any_size_give_the_same_logits(self):
        for name in ("int8", "nvfp4"):
            plain = run_json(*FEW, "--kv-dtype", name)["logits_digest"]
            # scales of odd blocks do not fill their 16 bytes
            for more in (["--block-tokens", 5], ["--block-tokens", 1, "--blocks", 2000], ["--step-tokens", 7]):
                out = run_json(*FEW, "--kv-dtype", name, *more)
                self.check(out, name)
                self.assertEqual(out["logits_digest"], plain, (name, more))

    def test_scales_go_with_their_block(self):
        few = ["serve", "--requests", 40, "--scale", 64, "--blocks", 70, "--kv-dtype", "int4"]
        plain = run_json(*few)
        with tempfile.TemporaryDirectory() as folder:
            spec = f"device:70,host:40,file:{folder}/kv.tier:64M"
            tiers = run_json(*few, "--tiers", spec)
        for out in (plain, tiers):
            self.check(out, "int4")
        self.assertGreater(tiers["tiers"]["file"]["loaded"], 0)
        self.assertEqual(tiers["logits_digest"], plain["logits_digest"])

    def test_a_file_of_another_format_is_not_read(self):
        few = ["serve", "--requests", 24, "--scale", 64, "--blocks", 70]
        with tempfile.TemporaryDirectory() as folder:
            # both have blocks of as many bytes
            for name in ("float16", "bfloat16"):
                out = run_json(*few, "--tiers", f"host:40,file:{folder}/kv.tier:64M", "--kv-dtype", name)
                self.check(out, name)
        self.assertGreater(out["tiers"]["file"]["recovered"], 0)

    def test_forks_copy_scales_too(self):
        for more in ([], ["--device", "sim"]):
            out = run_json(*FEW, "--fork", 3, "--kv-dtype", "int8", *more)
            self.check(out, "int8")
            self.assertGreater(out["forks"], 0)
            if more:
                self.assertEqual(out["device"]["violations"], 0)
        out = run_json(*FEW, "--fork", 3, "--tenants", 2, "--kv-dtype", "mxfp4", "--blocks", 120, "--block-tokens", 4,
                       "--watermark", 0, "--load", 50)
        self.check(out, "mxfp4")

    def test_one_flipped_byte_is_noticed(self):
        for name in TYPES:
            code, out, err = run(*FEW, "--kv-dtype", name, "--corrupt-block", 0, "--json")
            self.assertEqual(code, 1, name)
            self.assertRegex(err, r"request \d+, step \d+: logit \d+ differs")

    def test_a_format_that_nobody_knows(self):
        code, out, err = run(*FEW, "--kv-dtype", "fp7")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("--kv-dtype", err)
        self.assertIn("fp8", err)


if __name__ == "__main__":
    main()
