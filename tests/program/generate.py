"""The generator: the same everywhere, readable as a trace, and as calibrated as docs/program.md says."""
import json
import unittest

from shared import main, run, run_json, trace_file


def generated(requests, seed):
    code, out, err = run("generate", "--requests", requests, "--seed", seed)
    assert (code, err) == (0, "")
    return out


def quantile(values, share):
    return sorted(values)[int(share * (len(values) - 1))]


class Generate(unittest.TestCase):
    def test_seeds(self):
        self.assertEqual(generated(200, 5), generated(200, 5))
        self.assertNotEqual(generated(200, 5), generated(200, 6))
        self.assertTrue(generated(300, 5).startswith(generated(200, 5)))

    def test_it_is_a_trace(self):
        text = generated(500, 1)
        with trace_file(text) as path:
            self.assertEqual(run_json("waste", "--trace", path, "--format", "mooncake")["requests"], 500)
        for line in text.splitlines():
            request = json.loads(line)
            self.assertEqual(len(request["hash_ids"]), -(-request["input_length"] // 512))
            self.assertEqual(len(set(request["hash_ids"])), len(request["hash_ids"]))

    def test_calibration(self):
        # each statistic of the public conversation trace is met within this share of itself, for any seed
        for seed in (1, 2, 3):
            text = generated(12031, seed)
            requests = [json.loads(line) for line in text.splitlines()]
            prompts = [r["input_length"] for r in requests]
            answers = [r["output_length"] for r in requests]
            with trace_file(text) as path:
                out = run_json("prefix", "--trace", path, "--format", "mooncake", "--capacity-blocks", "inf")
            hours = (requests[-1]["timestamp"] + 3000) / 1000
            for name, value, public, within in (
                    ("mean prompt", sum(prompts) / len(prompts), 12035, 0.1),
                    ("median prompt", quantile(prompts, 0.5), 6909, 0.2),
                    ("longest tenth of prompts", quantile(prompts, 0.9), 27367, 0.1),
                    ("mean answer", sum(answers) / len(answers), 342.6, 0.05),
                    ("median answer", quantile(answers, 0.5), 350, 0.05),
                    ("share of prefix blocks hit", out["hit_ratio"], 0.3664, 0.1),
                    ("requests a second", len(requests) / hours, 3.399, 0.03)):
                with self.subTest(name, seed=seed):
                    self.assertAlmostEqual(value / public, 1, delta=within)


if __name__ == "__main__":
    main()
