"""Internal waste: the public anchors, and the closed form against a loop over every decode step."""
import random
import unittest

from shared import main, public_trace, run, run_json, trace_file

# Azure code: percent of empty slots over all decode steps, by tokens in a block
AZURE_STEPS = {1: 0.0, 8: 0.16, 16: 0.35, 32: 0.72, 64: 1.47, 128: 2.94}
AZURE_RESERVED = {2048: (58.5, 3367), 8192: (74.0, 0), 32768: (93.5, 0)}


def looped(requests, block, reserve):
    """The definition itself: every step of every request."""
    step = [0, 0]
    final = [0, 0]
    contiguous = [0, 0]
    misfits = 0
    for context, generated in requests:
        if context == 0 or generated == 0:
            continue
        fits = context + generated <= reserve
        misfits += not fits
        for t in range(generated):
            held = context + t
            slots = -(-held // block) * block
            step[0] += held
            step[1] += slots
            if fits:
                contiguous[0] += held
                contiguous[1] += reserve
            if t == generated - 1:
                final[0] += held
                final[1] += slots
    percent = [100 * (1 - held / slots) if slots else 0 for held, slots in (step, final, contiguous)]
    return (*percent, misfits)


class Waste(unittest.TestCase):
    def test_azure_anchors(self):
        path = public_trace("azure_code.csv")
        for block, expected in AZURE_STEPS.items():
            out = run_json("waste", "--trace", path, "--format", "azure", "--block-tokens", block)
            self.assertEqual(round(out["waste_steps_percent"], 2), expected)
            self.assertEqual(out["requests"], 8819)
        out = run_json("waste", "--trace", path, "--format", "azure", "--block-tokens", 16)
        self.assertEqual(round(out["waste_final_percent"], 2), 0.37)
        for reserve, (percent, misfits) in AZURE_RESERVED.items():
            out = run_json("waste", "--trace", path, "--format", "azure", "--reserve", reserve)
            self.assertEqual(round(out["reserved_waste_steps_percent"], 1), percent)
            self.assertEqual(out["do_not_fit"], misfits)
        out = run_json("waste", "--trace", path, "--format", "azure", "--reserve", 2048)
        self.assertEqual(round(out["do_not_fit_percent"], 1), 38.2)

    def test_conversation(self):
        path = public_trace("mooncake_conversation.jsonl")
        out = run_json("waste", "--trace", path, "--format", "mooncake", "--block-tokens", 16)
        self.assertEqual((out["requests"], out["skipped"]), (12031, 0))
        self.assertAlmostEqual(out["waste_steps_percent"], 0.0571, places=4)

    def test_against_the_loop(self):
        for seed in range(12):
            dice = random.Random(seed)
            most = dice.choice([3, 40, 900])
            requests = [(dice.randrange(most), dice.randrange(most)) for _ in range(40)]
            block = dice.choice([1, 2, 3, 7, 16, 100])
            reserve = dice.choice([1, 5, 64, 1000])
            lines = "".join(f"2024-01-01 00:00:00,{c},{g}\n" for c, g in requests)
            with self.subTest(seed=seed), trace_file("TIMESTAMP,ContextTokens,GeneratedTokens\n" + lines) as path:
                out = run_json("waste", "--trace", path, "--format", "azure", "--block-tokens", block, "--reserve", reserve)
                steps, final, contiguous, misfits = looped(requests, block, reserve)
                self.assertAlmostEqual(out["waste_steps_percent"], steps, places=9)
                self.assertAlmostEqual(out["waste_final_percent"], final, places=9)
                self.assertAlmostEqual(out["reserved_waste_steps_percent"], contiguous, places=9)
                self.assertEqual(out["do_not_fit"], misfits)

    def test_the_longest_requests_are_summed_exactly(self):
        most = 2**31 - 1
        line = f"2024-01-01 00:00:00,{most},{most}\n"
        with trace_file("TIMESTAMP,ContextTokens,GeneratedTokens\n" + line * 9) as path:
            out = run_json("waste", "--trace", path, "--format", "azure", "--block-tokens", most, "--reserve", most)
        # steps hold most .. 2 * most - 1 tokens: the first in one block, the others in two
        held = most * most + most * (most - 1) // 2
        slots = most + (most - 1) * 2 * most
        self.assertAlmostEqual(out["waste_steps_percent"], 100 * (slots - held) / slots, places=9)
        self.assertEqual(out["do_not_fit"], 9)
        self.assertEqual(out["reserved_waste_steps_percent"], 0)

    def test_table(self):
        with trace_file("TIMESTAMP,ContextTokens,GeneratedTokens\n2024-01-01 00:00:00,10,2\n") as path:
            code, out, err = run("waste", "--trace", path, "--format", "azure")
        self.assertEqual((code, err), (0, ""))
        # 10 and 11 tokens in 16 slots each
        self.assertIn("34.38 %", out)


if __name__ == "__main__":
    main()
