#!/usr/bin/env python3
"""Reads the tables that examples/kv_engine.cpp wrote, in each engine's own index arithmetic, and finds every token.

    tests/adapt/kv_tables.py EXAMPLE     runs the program, reads its file, then damages each table and demands to notice it

Nothing of the library is used: the bytes of the engines' tensors, the tables, and the formulas of
FlashInfer (include/flashinfer/page.cuh 0006e88, flashinfer/page.py d609356), vLLM (vllm/v1/worker/block_table.py 01edfd0,
csrc reshape_and_cache_flash) and TensorRT-LLM (cpp/tensorrt_llm/kernels/kvCacheUtils.h 0ccf903, kvCacheIndex.h 27574b9).
"""

import array
import math
import pathlib
import subprocess
import sys
import tempfile

LAYERS, BLOCKS, TOKENS, HEADS, SIZE = 2, 32, 16, 4, 8
ROWS = 5  # of which row 2 is empty
PIECE = HEADS * TOKENS * SIZE * 4  # bytes of the keys of one layer in one block


def read_sections(path):
    """The arrays of the file, by name."""
    raw = path.read_bytes()
    found, at = {}, 0
    while at != len(raw):
        end = raw.index(b"\n", at)
        name, kind, count = raw[at:end].decode().split()
        numbers = array.array(kind)
        at = end + 1 + int(count) * numbers.itemsize
        numbers.frombytes(raw[end + 1:at])
        assert len(numbers) == int(count), name
        found[name] = numbers
    return found


def number_of(token, at, layer, plane, head, d):
    """What the engine wrote for a token at a place."""
    return float((token * 31 + at * 7 + layer * 5 + plane * 3 + head * 2 + d * 11) % 251) - 125.0


def texts_of(found, engine):
    return [found.get(f"{engine}.text.{r}", array.array("I")) for r in range(ROWS)]


class Vllm:
    """A dense block table, lengths, and kv_cache[plane, block, token, head, :] of each layer."""

    name = "vllm"
    damaged = ["vllm.table", "vllm.seq_lens", "vllm.slots"]

    def __init__(self, found):
        self.found, self.width = found, found["vllm.width"][0]

    def lengths(self):
        return list(self.found["vllm.seq_lens"])

    def head(self, row, at, layer, plane, head):
        block = self.found["vllm.table"][row * self.width + at // TOKENS]
        first = (((plane * BLOCKS + block) * TOKENS + at % TOKENS) * HEADS + head) * SIZE
        return self.found[f"vllm.layer.{layer}"][first:first + SIZE]

    def check_more(self):
        """A slot of a step is where the table has that token; the padding is -1; block 0 is in no row."""
        slots, table = self.found["vllm.slots"], self.found["vllm.table"]
        step = [(4, at) for at in range(47, 50)] + [(1, at) for at in range(40)]
        for (row, at), slot in zip(step, slots):
            block = table[row * self.width + at // TOKENS]
            if slot // TOKENS != block or slot % TOKENS != at % TOKENS or block == 0:
                return f"slot {slot} of token {at} of row {row}"
        for row, length in enumerate(self.lengths()):
            used = -(-length // TOKENS)
            if any(table[row * self.width + used:(row + 1) * self.width]):
                return f"the padding of row {row}"
        return None if set(slots[len(step):]) == {-1} else "the padding of slots"


class FlashInfer:
    """CSR, and paged_kv[page, plane, token, head, :] of each layer: stride_page, stride_n and stride_h of paged_kv_t."""

    name = "flashinfer"
    damaged = ["flashinfer.indptr", "flashinfer.indices", "flashinfer.last_page_len"]

    def __init__(self, found):
        self.found = found

    def lengths(self):
        indptr, last = self.found["flashinfer.indptr"], self.found["flashinfer.last_page_len"]
        by_kernel = [0 if indptr[r + 1] == indptr[r] else (indptr[r + 1] - indptr[r] - 1) * TOKENS + last[r] for r in range(ROWS)]
        by_python = [max(indptr[r + 1] - indptr[r] - 1, 0) * TOKENS + last[r] for r in range(ROWS)]
        return by_kernel if by_kernel == by_python else None

    def head(self, row, at, layer, plane, head):
        page = self.found["flashinfer.indices"][self.found["flashinfer.indptr"][row] + at // TOKENS]
        stride_page, stride_n, stride_h = 2 * TOKENS * HEADS * SIZE, HEADS * SIZE, SIZE
        values_at = plane * TOKENS * HEADS * SIZE  # v_data - k_data
        first = values_at + page * stride_page + head * stride_h + at % TOKENS * stride_n
        return self.found[f"flashinfer.layer.{layer}"][first:first + SIZE]

    def check_more(self):
        last, indptr = self.found["flashinfer.last_page_len"], self.found["flashinfer.indptr"]
        if indptr[0] != 0 or indptr[ROWS] != len(self.found["flashinfer.indices"]):
            return "the ends of indptr"
        sound = all(1 <= last[r] <= TOKENS for r in range(ROWS) if indptr[r + 1] != indptr[r])
        return None if sound else "a last page length"


class TensorRtLlm:
    """Offsets [rows, 2, width] in pieces of a primary and a secondary pool, each layer behind its own pointer."""

    name = "trtllm"
    damaged = ["trtllm.offsets", "trtllm.mapping"]

    def __init__(self, found):
        self.found, self.width = found, found["trtllm.width"][0]

    def lengths(self):
        return [len(text) for text in texts_of(self.found, "trtllm")]  # sequence_length is an input of its own

    def head(self, row, at, layer, plane, head):
        offset = self.found["trtllm.offsets"][row * self.width * 2 + plane * self.width + at // TOKENS]
        if offset in (-1, 0x7FFFFFFF):
            return None
        pool = self.found["trtllm.secondary" if offset < 0 else "trtllm.primary"]  # the top bit
        pool_of_layer, place = self.found["trtllm.mapping"][layer * 2:layer * 2 + 2]
        intra_pool = place * 2 * PIECE
        block = intra_pool + (offset & 0x7FFFFFFF) * PIECE
        local = head * TOKENS * SIZE + at % TOKENS * SIZE  # getKVLocalIdx
        first = block // 4 + local
        return pool[first:first + SIZE] if pool_of_layer == 0 else None

    def check_more(self):
        for row, length in enumerate(self.lengths()):
            for plane in range(2):
                first = row * self.width * 2 + plane * self.width
                unused = self.found["trtllm.offsets"][first + -(-length // TOKENS):first + self.width]
                if any(one != 0x7FFFFFFF for one in unused):
                    return f"the padding of row {row}"
        return None if any(one < -1 for one in self.found["trtllm.offsets"]) else "no block of the secondary pool"


def attention(queries, keys, values):
    """softmax(q k) v of one head, in the order of the tokens."""
    scores = [sum(q * k for q, k in zip(queries, key)) / math.sqrt(SIZE) for key in keys]
    most = max(scores)
    weights = [math.exp(s - most) for s in scores]
    total = sum(weights)
    return [sum(w * value[d] for w, value in zip(weights, values)) / total for d in range(SIZE)]


def first_wrong(reader):
    """What a reader finds wrong, or None; with it the count of heads that were found."""
    texts, lengths = texts_of(reader.found, reader.name), reader.lengths()
    if lengths != [len(text) for text in texts]:
        return f"lengths {lengths}", 0
    count = 0
    for row, text in enumerate(texts):
        for layer in range(LAYERS):
            for head in range(HEADS):
                gathered, computed = ([], []), ([], [])
                for at, token in enumerate(text):
                    for plane in range(2):
                        try:
                            got = reader.head(row, at, layer, plane, head)
                        except IndexError:
                            return f"row {row}, token {at}: out of the table", count
                        want = [number_of(token, at, layer, plane, head, d) for d in range(SIZE)]
                        if got is None or list(got) != want:
                            return f"row {row}, token {at}, layer {layer}, plane {plane}, head {head}", count
                        gathered[plane].append(got)
                        computed[plane].append(want)
                        count += 1
                if text and attention([0.01 * d for d in range(SIZE)], *gathered) != attention([0.01 * d for d in range(SIZE)], *computed):
                    return f"the attention of row {row}, layer {layer}, head {head}", count
    return reader.check_more(), count


def damage(found, name):
    """Every copy of the arrays in which two unlike neighbours of one table changed places, or one number is 1 larger."""
    table = found[name]
    for at in range(len(table)):
        if at + 1 != len(table) and table[at] != table[at + 1]:
            changed = table[:]
            changed[at], changed[at + 1] = table[at + 1], table[at]
            yield at, dict(found, **{name: changed})
        changed = table[:]
        changed[at] = table[at] + 1 if table[at] != 0x7FFFFFFF else 0
        yield at, dict(found, **{name: changed})


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "tables.bin"
        subprocess.run([sys.argv[1], str(path)], check=True, stdout=subprocess.DEVNULL)
        found = read_sections(path)
    for kind in (FlashInfer, Vllm, TensorRtLlm):
        wrong, count = first_wrong(kind(found))
        if wrong is not None:
            sys.exit(f"kv_tables: {kind.name}: {wrong}")
        assert count == 2 * LAYERS * HEADS * (37 + 47 + 16 + 50), count
        tried = 0
        for name in kind.damaged:
            for at, copy in damage(found, name):
                tried += 1
                if first_wrong(kind(copy))[0] is None:
                    sys.exit(f"kv_tables: {kind.name}: {name}[{at}] was damaged, and nothing was noticed")
        print(f"{kind.name}: {count} heads of keys and values found, {tried} damaged tables noticed")


if __name__ == "__main__":
    main()
