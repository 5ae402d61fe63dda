"""Every wrong option gets one clear line on stderr, exit code 2, and nothing on stdout."""
import os
import unittest

from shared import PROGRAM, main, run, trace_file

GOOD = '{"timestamp": 0, "input_length": 600, "output_length": 3, "hash_ids": [1, 2]}\n'

# arguments ("@" is a good trace), and words that the complaint must hold
BAD = [
    ("", ["subcommand"]),
    ("fly", ["subcommand"]),
    ("serve extra", ["extra"]),
    ("serve --colour red", ["--colour"]),
    ("serve --requests 0", ["--requests", "from 1", "'0'"]),
    ("serve --requests -1", ["--requests", "'-1'"]),
    ("serve --requests 1e3", ["--requests", "'1e3'"]),
    ("serve --requests 99999999999999999999999", ["--requests", "to 100000000"]),
    ("serve --requests", ["--requests"]),
    ("serve --scale 0", ["--scale", "'0'"]),
    ("serve --scale -2", ["--scale"]),
    ("serve --scale nan", ["--scale", "'nan'"]),
    ("serve --scale inf", ["--scale"]),
    ("serve --scale 3x", ["--scale", "'3x'"]),
    ("serve --blocks 0", ["--blocks"]),
    ("serve --blocks 4294967296", ["--blocks"]),
    ("serve --block-tokens 0", ["--block-tokens"]),
    ("serve --block-tokens 5000", ["--block-tokens", "4096"]),
    ("serve --max-batch 0", ["--max-batch"]),
    ("serve --step-tokens 0", ["--step-tokens"]),
    ("serve --watermark -0.1", ["--watermark"]),
    ("serve --watermark 1.5", ["--watermark", "1.5"]),
    ("serve --load 0", ["--load"]),
    ("serve --seed -1", ["--seed"]),
    ("serve --seed 18446744073709551616", ["--seed"]),
    ("serve --verify -1", ["--verify", "all"]),
    ("serve --verify some", ["--verify", "'some'"]),
    ("serve --corrupt-block -1", ["--corrupt-block"]),
    ("serve --requests 4 --corrupt-block 384", ["--corrupt-block", "0 to 383"]),
    ("serve --trace @", ["--format"]),
    ("serve --format mooncake", ["--trace"]),
    ("serve --trace @ --format csv", ["--format", "mooncake or azure", "'csv'"]),
    ("serve --trace @ --format azure", ["'TIMESTAMP'"]),
    ("serve --trace /nowhere --format azure", ["/nowhere", "No such file"]),
    ("serve --scale 0.0000001", ["--scale"]),
    ("waste --format mooncake", ["--trace"]),
    ("waste --trace @", ["--format"]),
    ("waste --trace @ --format mooncake --block-tokens 0", ["--block-tokens"]),
    ("waste --trace @ --format mooncake --block-tokens 4294967296", ["--block-tokens", "2147483647"]),
    ("waste --trace @ --format mooncake --reserve 0", ["--reserve"]),
    ("waste --trace @ --format mooncake --reserve many", ["--reserve", "'many'"]),
    ("prefix --capacity-blocks 5", ["--trace"]),
    ("prefix --trace @", ["--capacity-blocks"]),
    ("prefix --trace @ --capacity-blocks 0", ["--capacity-blocks", "inf"]),
    ("prefix --trace @ --capacity-blocks -5", ["--capacity-blocks"]),
    ("prefix --trace @ --capacity-blocks INF", ["--capacity-blocks", "'INF'"]),
    ("prefix --trace @ --capacity-blocks 99999999999999999999", ["--capacity-blocks"]),
    ("prefix --trace @ --capacity-blocks 5 --policy lfu", ["--policy", "lru", "'lfu'"]),
    ("prefix --trace @ --capacity-blocks 5 --index tree", ["--index", "hash", "'tree'"]),
    ("prefix --trace @ --capacity-blocks 5 --format azure", ["azure" , "prefix ids"]),
    ("generate --requests 0", ["--requests"]),
    ("generate --seed x", ["--seed"]),
]


class Options(unittest.TestCase):
    def test_bad_options(self):
        with trace_file(GOOD) as path:
            for line, words in BAD:
                with self.subTest(line):
                    code, out, err = run(*line.replace("@", path).split())
                    self.assertEqual((code, out), (2, ""), err)
                    self.assertTrue(err.startswith("tokenheap: "), err)
                    self.assertLessEqual(err.count("\n"), 2, err)
                    for word in words:
                        self.assertIn(word, err)

    def test_help_and_version(self):
        for command in ([], ["serve"], ["prefix"], ["waste"], ["generate"], ["replay"], ["plan"], ["doctor"]):
            code, out, err = run(*command, "--help")
            self.assertEqual((code, err), (0, ""))
            self.assertIn("--help", out)
        code, out, err = run("--version")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"^\d+\.\d+\.\d+\n$")

    def test_an_output_that_takes_nothing_is_an_error(self):
        with trace_file(GOOD) as path:
            code = os.system(f"'{PROGRAM}' waste --trace {path} --format mooncake >/dev/full 2>/dev/null")
        self.assertEqual(os.waitstatus_to_exitcode(code), 1)


if __name__ == "__main__":
    main()
