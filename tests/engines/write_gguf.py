#!/usr/bin/env python3
"""Writes a small llama as a GGUF file: seeded random weights and a vocabulary of bytes and pairs of letters.

    write_gguf.py FILE [--seed N]
"""

import argparse
import struct

import numpy as np

VOCAB, WIDTH, LAYERS, HEADS, KV_HEADS, FEED, CONTEXT = 512, 256, 4, 8, 4, 768, 1024
U32, F32, STRING, ARRAY, I32 = 4, 6, 8, 9, 5
TENSOR_F32, TENSOR_F16 = 0, 1
ALIGNMENT = 32


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def field(name, kind, value):
    """One entry of the head; for an array the kind is (ARRAY, kind of its elements)."""
    form = {U32: "<I", F32: "<f", I32: "<i"}
    one = lambda k, v: text(v) if k == STRING else struct.pack(form[k], v)
    if isinstance(kind, tuple):
        body = struct.pack("<IQ", kind[1], len(value)) + b"".join(one(kind[1], v) for v in value)
        return text(name) + struct.pack("<I", ARRAY) + body
    return text(name) + struct.pack("<I", kind) + one(kind, value)


def vocabulary():
    """Tokens, their scores and kinds: unknown, begin, end, 256 bytes, then pairs of letters, the likely ones first."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    kinds = [2, 3, 3] + [6] * 256
    letters = "\u2581etaoinshrdlucmfw"
    pairs = list(letters) + [a + b for a in letters for b in letters[1:]]
    tokens += pairs[:VOCAB - len(tokens)]
    kinds += [1] * (VOCAB - len(kinds))
    return tokens, [-float(k) for k in range(VOCAB)], kinds


def fields():
    tokens, scores, kinds = vocabulary()
    return [
        field("general.architecture", STRING, "llama"),
        field("general.name", STRING, "tokenheap random llama"),
        field("general.alignment", U32, ALIGNMENT),
        field("llama.context_length", U32, CONTEXT),
        field("llama.embedding_length", U32, WIDTH),
        field("llama.block_count", U32, LAYERS),
        field("llama.feed_forward_length", U32, FEED),
        field("llama.attention.head_count", U32, HEADS),
        field("llama.attention.head_count_kv", U32, KV_HEADS),
        field("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        field("llama.rope.dimension_count", U32, WIDTH // HEADS),
        field("llama.rope.freq_base", F32, 10000.0),
        field("llama.vocab_size", U32, VOCAB),
        field("tokenizer.ggml.model", STRING, "llama"),
        field("tokenizer.ggml.tokens", (ARRAY, STRING), tokens),
        field("tokenizer.ggml.scores", (ARRAY, F32), scores),
        field("tokenizer.ggml.token_type", (ARRAY, I32), kinds),
        field("tokenizer.ggml.unknown_token_id", U32, 0),
        field("tokenizer.ggml.bos_token_id", U32, 1),
        field("tokenizer.ggml.eos_token_id", U32, 2),
    ]


def tensors(seed):
    """(name, array) of all weights; scaled so that logits neither vanish nor all agree."""
    rng = np.random.default_rng(seed)
    matrix = lambda rows, columns: (rng.standard_normal((rows, columns)) * (1.5 / np.sqrt(columns))).astype(np.float16)
    norm = lambda: (1 + 0.1 * rng.standard_normal(WIDTH)).astype(np.float32)
    narrow = WIDTH // HEADS * KV_HEADS
    yield "token_embd.weight", (rng.standard_normal((VOCAB, WIDTH))).astype(np.float16)
    for k in range(LAYERS):
        at = f"blk.{k}."
        yield at + "attn_norm.weight", norm()
        yield at + "attn_q.weight", matrix(WIDTH, WIDTH)
        yield at + "attn_k.weight", matrix(narrow, WIDTH)
        yield at + "attn_v.weight", matrix(narrow, WIDTH)
        yield at + "attn_output.weight", matrix(WIDTH, WIDTH)
        yield at + "ffn_norm.weight", norm()
        yield at + "ffn_gate.weight", matrix(FEED, WIDTH)
        yield at + "ffn_up.weight", matrix(FEED, WIDTH)
        yield at + "ffn_down.weight", matrix(WIDTH, FEED)
    yield "output_norm.weight", norm()
    yield "output.weight", matrix(VOCAB, WIDTH)


def write(path, seed=1):
    head, weights = fields(), list(tensors(seed))
    out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(head)) + b"".join(head))
    at = 0
    for name, array in weights:
        kind = TENSOR_F16 if array.dtype == np.float16 else TENSOR_F32
        axes = tuple(reversed(array.shape))  # the innermost axis comes first
        out += text(name) + struct.pack(f"<I{len(axes)}QIQ", len(axes), *axes, kind, at)
        at += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    out += bytes(-len(out) % ALIGNMENT)
    for _, array in weights:
        out += array.tobytes()
        out += bytes(-len(out) % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(out)
    return len(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{given.file}: {write(given.file, given.seed)} bytes, seed {given.seed}")
