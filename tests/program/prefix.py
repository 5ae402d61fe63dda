"""The replay of prefix ids: the public anchors, and the index against a plain LRU over the same rule."""
import random
import unittest
from collections import OrderedDict

from shared import main, public_trace, run, run_json, trace_file

KEYS = ["requests", "references", "distinct", "hits", "evictions", "hit_ratio", "ns_per_reference",
        "policy", "index", "lookahead", "hint_error", "seed"]

# hits of 288,500 references at 10,000 blocks; the clairvoyant bound is 105,710
WORTH_OF_HINTS = {
    "lru": 61046,
    "s3fifo": 62102,
    "hinted --no-hints": 61046,
    "hinted": 84662,
    "hinted --hint-error 0.2": 74609,
    "hinted --hint-error 0.2 --seed 1": 73821,
    "hinted --hint-error 0.5": 61933,
    "hinted --no-hints --lookahead 256": 73083,
    "hinted --no-hints --lookahead 1024": 91003,
    "hinted --lookahead 256": 89289,
    "hinted --retain 1000": 86790,
    "hinted --retain 1000 --lookahead 1024": 100829,
}


def plain_lru(requests, capacity):
    """Longest cached prefix, then everything touched tail first; a request keeps at most `capacity` of its head."""
    cache = OrderedDict()
    hits = evictions = 0
    for ids in requests:
        ids = ids[:capacity]
        found = 0
        while found < len(ids) and ids[found] in cache:
            found += 1
        hits += found
        # the request's own blocks are never evicted by its other blocks
        for block in ids[:found]:
            cache.move_to_end(block)
        for _ in range(len(cache) + len(ids) - found - capacity):
            cache.popitem(last=False)
            evictions += 1
        for block in reversed(ids):
            cache[block] = True
            cache.move_to_end(block)
    return hits, evictions


def tree_requests(dice, count, branches):
    """Paths through a random tree: equal ids have equal prefixes, as in a real trace."""
    children = {}
    requests = []
    for _ in range(count):
        path = ()
        for _ in range(dice.randrange(1, 12)):
            path += (dice.randrange(branches),)
            children.setdefault(path, len(children) * 977 + 2**40)
        requests.append([children[path[:n]] for n in range(1, len(path) + 1)])
    return requests


def as_trace(requests):
    return "".join(
        f'{{"timestamp": {n}, "input_length": {512 * len(ids)}, "output_length": 1, "hash_ids": {ids}}}\n'
        for n, ids in enumerate(requests))


def replay(path, capacity, policy="lru", index="radix"):
    return run_json("prefix", "--trace", path, "--format", "mooncake", "--capacity-blocks", capacity,
                    "--policy", *policy.split(), "--index", index)


class Prefix(unittest.TestCase):
    def test_public_anchors(self):
        path = public_trace("mooncake_conversation.jsonl")
        for capacity, hits, evictions in (("inf", 105710, 0), (10000, 61046, 217454), (182790, 105710, 0)):
            out = replay(path, capacity)
            self.assertEqual(list(out), KEYS)
            self.assertEqual([out[k] for k in KEYS[:5]], [12031, 288500, 182790, hits, evictions])
            self.assertAlmostEqual(out["hit_ratio"], hits / 288500, places=12)
            self.assertGreater(out["ns_per_reference"], 0)
        for capacity, percent in ((1000, 4.45), (30000, 32.57), (100000, 36.37)):
            self.assertEqual(round(100 * replay(path, capacity)["hit_ratio"], 2), percent)

    def test_both_indexes_find_the_same(self):
        path = public_trace("mooncake_conversation.jsonl")
        for policy in ("lru", "s3fifo", "hinted"):
            out = replay(path, 10000, policy, "hash")
            self.assertEqual((out["hits"], out["index"]), (WORTH_OF_HINTS[policy], "hash"))

    def test_what_hints_are_worth(self):
        path = public_trace("mooncake_conversation.jsonl")
        for policy, hits in WORTH_OF_HINTS.items():
            with self.subTest(policy=policy):
                out = replay(path, 10000, policy)
                self.assertEqual((out["hits"], out["policy"]), (hits, policy.split()[0]))

    def test_hinted_without_hints_is_lru(self):
        for seed in range(5):
            dice = random.Random(seed)
            requests = tree_requests(dice, 200, 3)
            with trace_file(as_trace(requests)) as path:
                for capacity in (1, 3, 12, 50):
                    with self.subTest(seed=seed, capacity=capacity):
                        out = replay(path, capacity, "hinted --no-hints")
                        self.assertEqual((out["hits"], out["evictions"]), plain_lru(requests, capacity))
                        for policy in ("hinted --lookahead 1024 --retain 7 --hint-error 0.5 --seed 3", "s3fifo"):
                            replay(path, capacity, policy)  # the index and the order are checked at the end

    def test_hints_need_a_policy_that_takes_them(self):
        with trace_file(as_trace([[1]])) as path:
            for policy in ("lru", "s3fifo"):
                for option in ("--lookahead", "--hint-error", "--retain"):
                    code, out, err = run("prefix", "--trace", path, "--format", "mooncake", "--capacity-blocks", 4,
                                         "--policy", policy, option, 1)
                    self.assertEqual((code, out), (2, ""))
                    self.assertIn("need hinted", err)

    def test_against_a_plain_lru(self):
        for seed in range(10):
            dice = random.Random(seed)
            requests = tree_requests(dice, 300, dice.choice([2, 3, 5]))
            distinct = len({block for ids in requests for block in ids})
            with trace_file(as_trace(requests)) as path:
                for capacity in (1, 2, 3, 11, 12, 50, 200, distinct, "inf"):
                    with self.subTest(seed=seed, capacity=capacity):
                        out = replay(path, capacity)
                        limit = 10**9 if capacity == "inf" else capacity
                        self.assertEqual((out["hits"], out["evictions"]), plain_lru(requests, limit))
                        hashed = replay(path, capacity, index="hash")
                        self.assertEqual((hashed["hits"], hashed["evictions"]), (out["hits"], out["evictions"]))
                        self.assertEqual(out["distinct"], distinct)
                        self.assertEqual(out["references"], sum(map(len, requests)))

    def test_a_request_longer_than_the_cache_keeps_its_head(self):
        with trace_file(as_trace([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [1, 2]])) as path:
            self.assertEqual(replay(path, 3)["hits"], 3 + 2)
            self.assertEqual(replay(path, 5)["hits"], 5 + 2)
            self.assertEqual(replay(path, 3)["evictions"], 0)

    def test_an_id_under_two_prefixes_is_two_blocks(self):
        with trace_file(as_trace([[1, 9], [2, 9], [1, 9], [9]])) as path:
            out = replay(path, "inf")
        self.assertEqual((out["distinct"], out["references"], out["hits"]), (3, 7, 2))

    def test_an_id_twice_in_a_request_is_two_blocks(self):
        with trace_file(as_trace([[7, 7, 7], [7, 7], [7, 7, 7, 7]])) as path:
            self.assertEqual(replay(path, "inf")["hits"], 0 + 2 + 3)

    def test_requests_without_ids(self):
        with trace_file(as_trace([[], [], []])) as path:
            out = replay(path, 4)
        self.assertEqual([out[k] for k in KEYS[:6]], [3, 0, 0, 0, 0, 0])


if __name__ == "__main__":
    main()
