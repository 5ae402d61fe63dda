"""Plans of known models: exact figures, refusals that name the option, and a page that needs nothing else."""
import html.parser
import json
import math
import os
import random
import re
import struct
import tempfile
import unittest

from shared import main, run, run_json, trace_file

GiB = 1 << 30
MiB = 1 << 20

# dimensions as their makers published them
MODELS = {
    "llama-2-13b": {
        "model_type": "llama", "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40,
        "num_attention_heads": 40, "num_key_value_heads": 40, "vocab_size": 32000, "max_position_embeddings": 4096,
        "tie_word_embeddings": False, "torch_dtype": "float16"},
    "llama-3-70b": {
        "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16"},
    "deepseek-v3": {
        "model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048,
        "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128, "n_routed_experts": 256,
        "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3, "moe_layer_freq": 1,
        "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "vocab_size": 129280, "max_position_embeddings": 163840, "num_nextn_predict_layers": 1,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128],
                                "activation_scheme": "dynamic"}},
    "qwen2.5-7b": {
        "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064, "max_position_embeddings": 32768,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_sliding_window": False, "sliding_window": 131072,
        "max_window_layers": 28},
    "qwen3-8b": {
        "model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        "max_position_embeddings": 40960, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "use_sliding_window": False, "sliding_window": None, "max_window_layers": 36},
    "gemma-3-27b": {
        "model_type": "gemma3", "torch_dtype": "bfloat16", "text_config": {
            "model_type": "gemma3_text", "hidden_size": 5376, "intermediate_size": 21504, "num_hidden_layers": 62,
            "num_attention_heads": 32, "num_key_value_heads": 16, "head_dim": 128, "vocab_size": 262208,
            "sliding_window": 1024, "sliding_window_pattern": 6, "max_position_embeddings": 131072}},
}

KEYS = ["kv_bytes_per_token", "kv_bytes_per_token_per_device", "weights_bytes", "weights_bytes_per_device",
        "state_bytes_per_sequence", "kv_bytes_per_sequence", "blocks", "block_tokens", "block_bytes", "max_tokens",
        "max_sequences", "fits", "devices", "groups", "advice", "warnings"]


OTHERS = {
    "jamba": {
        "model_type": "jamba", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 65536, "attn_layer_offset": 4,
        "attn_layer_period": 8, "expert_layer_offset": 1, "expert_layer_period": 2, "num_experts": 16,
        "num_experts_per_tok": 2, "mamba_d_conv": 4, "mamba_d_state": 16, "mamba_dt_rank": 256, "mamba_expand": 2,
        "max_position_embeddings": 262144, "torch_dtype": "bfloat16"},
    "mamba": {
        "model_type": "mamba", "hidden_size": 2560, "intermediate_size": 5120, "num_hidden_layers": 64, "vocab_size": 50280,
        "state_size": 16, "conv_kernel": 4, "expand": 2, "time_step_rank": 160, "torch_dtype": "float16"},
    "whisper": {
        "model_type": "whisper", "d_model": 1280, "encoder_layers": 32, "decoder_layers": 32, "encoder_attention_heads": 20,
        "decoder_attention_heads": 20, "encoder_ffn_dim": 5120, "decoder_ffn_dim": 5120, "max_source_positions": 1500,
        "max_target_positions": 448, "vocab_size": 51866, "num_mel_bins": 128, "torch_dtype": "float16"},
}


class model_folder:
    """A folder of this name with a config.json, for as long as the `with` lasts."""

    def __init__(self, config, name="model"):
        self.config, self.name = config, name

    def __enter__(self):
        self.top = tempfile.TemporaryDirectory()
        path = os.path.join(self.top.name, self.name)
        os.mkdir(path)
        with open(os.path.join(path, "config.json"), "wb") as file:
            file.write(self.config if isinstance(self.config, bytes) else json.dumps(self.config).encode())
        return path

    def __exit__(self, *_):
        self.top.cleanup()


def plan(name, *options, memory="80GiB"):
    with model_folder((MODELS | OTHERS)[name], name) as path:
        return run_json("plan", path, "--gpu-memory", memory, *options)


class Figures(unittest.TestCase):
    def test_bytes_of_a_token(self):
        for name, expected in {"llama-2-13b": 819200, "llama-3-70b": 327680, "deepseek-v3": 70272, "qwen2.5-7b": 57344,
                               "qwen3-8b": 147456}.items():
            with self.subTest(name):
                out = plan(name)
                self.assertEqual(out["kv_bytes_per_token"], expected)
                self.assertEqual(out["kv_bytes_per_token_per_device"], expected)
                self.assertEqual(out["block_bytes"], 16 * expected)
                for key in KEYS:
                    self.assertIn(key, out)

    def test_weights(self):
        # the makers' counts of parameters
        for name, expected in {"llama-2-13b": 13015864320, "llama-3-70b": 70553706496, "qwen2.5-7b": 7615616512,
                               "qwen3-8b": 8190735360}.items():
            with self.subTest(name):
                out = plan(name)
                self.assertEqual(out["parameters"], expected)
                self.assertEqual(out["weights_bytes"], 2 * expected)
                self.assertEqual(out["weights_bytes_per_device"], 2 * expected)
        self.assertEqual(round(plan("deepseek-v3")["parameters"] / 1e9), 671)

    def test_sequences(self):
        self.assertEqual(plan("llama-3-70b", "--tokens", 131072)["kv_bytes_per_sequence"], 40 * GiB)
        self.assertEqual(plan("qwen3-8b", "--tokens", 4096 + 16)["kv_bytes_per_sequence"], 578.25 * MiB)
        # one token more opens one block more
        self.assertEqual(plan("qwen3-8b", "--tokens", 4097)["kv_bytes_per_sequence"], 578.25 * MiB)
        self.assertEqual(plan("deepseek-v3", "--kv-dtype", "fp8_ds_mla")["kv_bytes_per_token"], 40016)

    def test_windows(self):
        out = plan("gemma-3-27b", "--tokens", 131072)
        self.assertEqual(out["kv_bytes_per_token"], 62 * 2 * 16 * 128 * 2)
        self.assertEqual(out["kv_bytes_per_sequence_unwindowed"], 62 * GiB)
        self.assertEqual(round(out["kv_bytes_per_sequence"] / GiB, 2), 10.41)
        self.assertEqual([(g["kind"], g["layers"]) for g in out["groups"]], [("full", 10), ("window", 52)])

    def test_states_and_encoders(self):
        out = plan("jamba", "--tokens", 400)
        self.assertEqual(out["kv_bytes_per_token"], 4 * 2 * 8 * 128 * 2)
        self.assertEqual(out["state_bytes_per_sequence"], 28 * 8192 * (3 + 16) * 2)
        out = plan("mamba", "--tokens", 400)
        self.assertEqual((out["kv_bytes_per_token"], out["kv_bytes_per_sequence"]), (0, 0))
        self.assertEqual(out["state_bytes_per_sequence"], 64 * 5120 * (3 + 16) * 2)
        self.assertIn("however long", out["summary"])
        out = plan("whisper", "--tokens", 400)
        # 25 blocks of the decoder's own tokens, 94 of the encoder's 1,500
        self.assertEqual(out["kv_bytes_per_sequence"], (25 + 94) * 16 * 32 * 2 * 1280 * 2)

    def test_ranks(self):
        for ranks, whole, each in [(1, 327680, 327680), (4, 327680, 81920), (8, 327680, 40960), (16, 655360, 40960)]:
            out = plan("llama-3-70b", "--tp", ranks)
            self.assertEqual((out["kv_bytes_per_token"], out["kv_bytes_per_token_per_device"]), (whole, each))
            self.assertEqual(out["devices_in_all"], ranks)
        out = plan("deepseek-v3", "--tp", 8, "--ep", 8, memory="h200")
        self.assertEqual(out["kv_bytes_per_token_per_device"], 70272)
        self.assertEqual(out["kv_bytes_per_token"], 8 * 70272)
        out = plan("llama-3-70b", "--pp", 4, "--dp", 3)
        self.assertEqual(out["devices_in_all"], 12)
        self.assertEqual(len(out["devices"]), 4)
        self.assertEqual((out["kv_bytes_per_token"], out["kv_bytes_per_token_per_device"]), (327680, 81920))

    def test_formats(self):
        for dtype, expected in {"fp32": 655360, "fp16": 327680, "fp8": 163840, "fp8_e4m3": 163840, "int8": 168960,
                                "int4": 87040, "nvfp4": 92160, "mxfp4": 87040, "auto": 327680, "bfloat16": 327680, "half": 327680}.items():
            self.assertEqual(plan("llama-3-70b", "--kv-dtype", dtype)["kv_bytes_per_token"], expected, dtype)
        whole = plan("llama-3-70b")["weights_bytes"]
        for dtype in ("fp8", "int8", "awq", "nvfp4"):
            self.assertLess(plan("llama-3-70b", "--weight-dtype", dtype)["weights_bytes"], 0.54 * whole)
        self.assertLess(plan("llama-3-70b", "--pruned-2-4")["weights_bytes"], 0.66 * whole)

    def test_parts_add_up(self):
        for options in ([], ["--tp", 2], ["--pp", 3], ["--lora", 4, "--lora-rank", 64], ["--utilization", 0.5]):
            out = plan("qwen3-8b", *options, memory="24GB")
            for need in out["devices"]:
                parts = sum(need[key] for key in ("unused", "weights", "lora", "activations", "reserve", "kv"))
                self.assertEqual(parts, need["total"] + need["missing"], options)
                self.assertEqual(need["total"], 24 * 10**9)
            self.assertEqual(out["blocks"], min(need["kv"] for need in out["devices"]) // out["block_bytes"])

    def test_both_directions(self):
        out = plan("qwen3-8b", "--tokens", 8192, "--sequences", 3)
        blocks = out["blocks"]
        self.assertTrue(out["fits"])
        self.assertEqual(out["max_sequences"], blocks // 512)
        self.assertEqual(out["max_tokens"], blocks // 3 * 16)
        self.assertTrue(plan("qwen3-8b", "--tokens", 8192, "--sequences", out["max_sequences"])["fits"])
        self.assertFalse(plan("qwen3-8b", "--tokens", 8192, "--sequences", out["max_sequences"] + 1)["fits"])
        self.assertTrue(plan("qwen3-8b", "--tokens", out["max_tokens"], "--sequences", 3)["fits"])
        self.assertFalse(plan("qwen3-8b", "--tokens", out["max_tokens"] + 1, "--sequences", 3)["fits"])

    def test_advice_is_true(self):
        out = plan("llama-3-70b", "--search")
        self.assertFalse(out["fits"])
        self.assertTrue(out["advice"])
        self.assertEqual(out["engines"], {})
        tried = 0
        for each in out["advice"]:
            # "--tp 2 instead of 1: ..." is what can be typed
            match = re.match(r"(--[\w-]+) (\S+) instead of", each)
            if match:
                tried += 1
                self.assertTrue(plan("llama-3-70b", match[1], match[2])["fits"], each)
        self.assertGreater(tried, 0, out["advice"])
        match = re.search(r"(--tp \d+ --pp \d+ --weight-dtype \w+ --kv-dtype \w+):", out["cheapest"])
        self.assertTrue(plan("llama-3-70b", *match[1].split())["fits"], out["cheapest"])

    def test_what_if_is_what_a_plan_says(self):
        for row in random.Random(5).sample(plan("qwen3-8b", "--search", memory="24GiB")["what_if"], 6):
            out = plan("qwen3-8b", "--tp", row["tp"], "--kv-dtype", row["kv_dtype"], "--weight-dtype", row["weight_dtype"],
                       memory="24GiB")
            for key in ("blocks", "max_tokens", "max_sequences", "fits", "weights_bytes_per_device"):
                self.assertEqual(out[key], row[key], row)


def gguf_file(tensors, type_number, bytes_of):
    """A GGUF file of a tiny Llama: header, numbers of the model, tensors of one type with their bytes."""
    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()

    fields = {"block_count": 2, "embedding_length": 256, "feed_forward_length": 512, "attention.head_count": 4,
              "attention.head_count_kv": 2, "context_length": 1024, "vocab_size": 64}
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1 + len(fields))
    out += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    for name, value in fields.items():
        out += text("llama." + name) + struct.pack("<II", 4, value)
    offset = 0
    for name, sizes in tensors.items():
        out += text(name) + struct.pack("<I", len(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes)
        out += struct.pack("<IQ", type_number, offset)
        offset += -(-bytes_of(math.prod(sizes)) // 32) * 32
    return out + bytes(-len(out) % 32) + bytes(offset)


class Files(unittest.TestCase):
    TENSORS = {"token_embd.weight": (256, 64), "output_norm.weight": (256,), "output.weight": (256, 64),
               "blk.0.attn_k.weight": (256, 128), "blk.1.attn_k.weight": (256, 128), "blk.0.ffn_up.weight": (256, 512)}

    def test_gguf(self):
        numbers = sum(math.prod(sizes) for sizes in self.TENSORS.values())
        # 12 is Q4_K: 144 bytes for 256 numbers; 8 is Q8_0: 34 for 32
        for type_number, bytes_of in {12: lambda n: n * 144 // 256, 8: lambda n: n * 34 // 32}.items():
            with trace_file(gguf_file(self.TENSORS, type_number, bytes_of), ".gguf") as path:
                out = run_json("plan", path, "--gpu-memory", "1GiB", "--reserve", "0")
                self.assertEqual(out["weights_bytes"], bytes_of(numbers))
                self.assertEqual(out["kv_bytes_per_token"], 2 * 2 * 2 * 64 * 2)
                self.assertEqual((out["weight_dtype"], out["tokens"], out["read_from"]), ("gguf", 1024, "a GGUF file"))
                self.assertIn(path, out["engines"]["llama.cpp"])
                code, text, err = run("plan", path, "--gpu-memory", "1GiB", "--explain")
                self.assertEqual((code, err), (0, ""))
                self.assertIn("summed from the headers", text)

    def test_safetensors(self):
        header = {"a": {"dtype": "BF16", "shape": [10, 10], "data_offsets": [0, 200]},
                  "b": {"dtype": "F8_E4M3", "shape": [100], "data_offsets": [200, 300]}}
        packed = json.dumps(header).encode()
        with model_folder(MODELS["qwen3-8b"]) as path:
            with open(os.path.join(path, "model.safetensors"), "wb") as file:
                file.write(struct.pack("<Q", len(packed)) + packed + bytes(300))
            for given in (path, os.path.join(path, "config.json"), os.path.join(path, "model.safetensors")):
                out = run_json("plan", given, "--gpu-memory", "80GiB")
                self.assertEqual((out["weights_bytes"], out["model"]), (300, "model"))
                self.assertEqual(out["kv_bytes_per_token"], 147456)

    def test_cut_off_headers(self):
        whole = gguf_file(self.TENSORS, 12, lambda n: n * 144 // 256)
        header = whole.index(b"blk.0.ffn_up")
        for end in [4, 7, 23, 24, 40, *range(60, header, 37)]:
            with trace_file(whole[:end], ".gguf") as path:
                code, out, err = run("plan", path, "--gpu-memory", "1GiB")
                self.assertEqual((code, out), (2, ""), (end, err))
                self.assertIn(path, err)


class Load(unittest.TestCase):
    def test_means(self):
        out = plan("qwen3-8b", "--arrival-rate", 4, "--prompt-mean", 2000, "--output-mean", 200, "--seconds-per-token",
                   0.02)["load"]
        self.assertAlmostEqual(out["mean_at_once"], 4 * (2000 / 8000 + 200 * 0.02))
        self.assertGreater(out["at_once"], out["mean_at_once"])
        self.assertEqual(out["machines"], 1)
        more = plan("qwen3-8b", "--arrival-rate", 400, "--prompt-mean", 2000, "--output-mean", 200, "--dp", 2,
                    "--seconds-per-token", 0.02)["load"]
        self.assertGreater(more["machines"], 1)
        self.assertEqual(more["devices"], 2 * more["machines"])

    def test_a_load_that_nothing_holds(self):
        out = plan("llama-3-70b", "--arrival-rate", 4, "--prompt-mean", 2000, "--output-mean", 200)["load"]
        self.assertEqual(out["machines"], 0)

    def test_trace(self):
        lines = "".join(json.dumps({"timestamp": 1000 * k, "input_length": 1600, "output_length": 400, "hash_ids": []}) + "\n"
                        for k in range(60))
        with trace_file(lines) as path:
            out = plan("qwen3-8b", "--trace", path, "--format", "mooncake", "--seconds-per-token", 0.025)["load"]
        # each runs 0.2 + 10 s, so that eleven are there when the next one comes
        self.assertEqual(out["trace_requests"], 60)
        self.assertEqual(out["replay_peak_sequences"], 11)
        self.assertEqual((out["replay_waited"], out["replay_refused"], out["replay_machines"]), (0, 0, 1))
        self.assertAlmostEqual(out["requests_per_second"], 1)


class Words(unittest.TestCase):
    def test_sizes(self):
        for text, expected in {"80GiB": 80 * GiB, "80gib": 80 * GiB, "80GB": 80 * 10**9, "24576MiB": 24 * GiB,
                               "1.5GiB": 3 * GiB // 2, "25769803776": 24 * GiB, "24000000KB": 24 * 10**9, "h100": 80 * GiB,
                               "H100": 80 * GiB, "h200": 141 * GiB, "b200": 180 * GiB, "a100": 80 * GiB, "l40s": 48 * GiB,
                               "mi300x": 192 * GiB, "0.08TiB": 87960930222}.items():
            self.assertEqual(plan("qwen2.5-7b", memory=text)["gpu_memory"], expected, text)
        out = plan("qwen2.5-7b", "--reserve", "2GiB")
        self.assertEqual(out["devices"][0]["reserve"], 2 * GiB)
        out = plan("qwen2.5-7b", "--reserve", "graphs=1GiB,driver=0", "--tp", 2)
        self.assertEqual(out["devices"][0]["reserve"], 2 * GiB)

    def test_table(self):
        with model_folder(MODELS["llama-3-70b"]) as path:
            code, out, err = run("plan", path, "--gpu-memory", "h100", "--tp", 4, "--explain", "--search")
            self.assertEqual((code, err), (0, ""))
            self.assertTrue(out.startswith("Fits: model on 4 x 80.00 GiB, TP 4: "), out)
            for text in ("327,680 B", "--gpu-memory-utilization 0.9", "--kv-cache-memory-bytes ", "--max-model-len 8192",
                         "--max-num-seqs ", "trtllm-serve", "llama-server", "[####", "Cheapest"):
                self.assertIn(text, out)
            for line in out.splitlines():
                self.assertTrue(len(line) <= 80 or path in line, line)
            code, out, err = run("plan", path, "--gpu-memory", "h100")
            self.assertEqual((code, err), (0, ""))
            self.assertTrue(out.startswith("Does not fit: "), out)
            self.assertIn("!", out)
            self.assertNotIn("vllm serve", out)

    def test_bars_have_the_width(self):
        with model_folder(MODELS["qwen3-8b"]) as path:
            for memory in ("16GiB", "17GiB", "24GiB", "80GiB", "4TiB", "1GiB", "1"):
                _, out, _ = run("plan", path, "--gpu-memory", memory, "--lora", 2)
                bars = [line for line in out.splitlines() if re.fullmatch(r"\[[#lar=\-.!]*\]", line)]
                self.assertEqual([len(bar) for bar in bars], [80], (memory, out))

    def test_lines_for_a_shell(self):
        with model_folder(MODELS["qwen3-8b"], "it's a $(model)") as path:
            engines = run_json("plan", path, "--gpu-memory", "80GiB", "--sequences", 7, "--tokens", 4096)["engines"]
        self.assertEqual(sorted(engines), ["TensorRT-LLM", "llama.cpp", "vLLM"])
        with tempfile.TemporaryDirectory() as folder:
            for name, program in {"vLLM": "vllm", "TensorRT-LLM": "trtllm-serve", "llama.cpp": "llama-server"}.items():
                fake = os.path.join(folder, program)
                with open(fake, "w") as file:
                    file.write('#!/bin/sh\nfor each; do printf "%s\\n" "$each"; done > ' + folder + "/seen\n")
                os.chmod(fake, 0o755)
                self.assertEqual(os.system(f"PATH={folder}:$PATH\n{engines[name]}"), 0)
                with open(os.path.join(folder, "seen")) as file:
                    seen = file.read().splitlines()
                if program != "llama-server":
                    self.assertIn(path, seen)
                self.assertTrue({"7", "28672" if program == "llama-server" else "4096"} <= set(seen), seen)


BAD = [
    ("", ["MODEL_PATH"]),
    ("@", ["--gpu-memory"]),
    ("@ --gpu-memory 80G", ["--gpu-memory", "80GiB", "'80G'"]),
    ("@ --gpu-memory 0", ["--gpu-memory", "'0'"]),
    ("@ --gpu-memory -1", ["--gpu-memory", "'-1'"]),
    ("@ --gpu-memory 1e9", ["--gpu-memory", "'1e9'"]),
    ("@ --gpu-memory 1.GiB", ["--gpu-memory"]),
    ("@ --gpu-memory 65TiB", ["--gpu-memory", "64TiB"]),
    ("@ --gpu-memory 99999999999999999999", ["--gpu-memory"]),
    ("@ --gpu-memory h999", ["--gpu-memory", "h100", "'h999'"]),
    ("@ --gpu-memory h100 --tp 0", ["--tp", "from 1"]),
    ("@ --gpu-memory h100 --tp 3", ["--tp", "3", "8"]),
    ("@ --gpu-memory h100 --tp x", ["--tp", "'x'"]),
    ("@ --gpu-memory h100 --pp 81", ["--pp", "81", "80"]),
    ("@ --gpu-memory h100 --ep 3", ["--ep", "3"]),
    ("@ --gpu-memory h100 --dp -2", ["--dp"]),
    ("@ --gpu-memory h100 --kv-dtype fp7", ["--kv-dtype", "nvfp4", "'fp7'"]),
    ("@ --gpu-memory h100 --kv-dtype fp8_ds_mla", ["--kv-dtype", "latent"]),
    ("@ --gpu-memory h100 --weight-dtype q9", ["--weight-dtype", "awq", "'q9'"]),
    ("@ --gpu-memory h100 --weight-dtype gguf", ["--weight-dtype", "GGUF"]),
    ("@ --gpu-memory h100 --tokens 0", ["--tokens"]),
    ("@ --gpu-memory h100 --tokens 4k", ["--tokens", "'4k'"]),
    ("@ --gpu-memory h100 --sequences 0", ["--sequences"]),
    ("@ --gpu-memory h100 --utilization 0", ["--utilization"]),
    ("@ --gpu-memory h100 --utilization 1.01", ["--utilization"]),
    ("@ --gpu-memory h100 --utilization nan", ["--utilization", "'nan'"]),
    ("@ --gpu-memory h100 --block-tokens 0", ["--block-tokens"]),
    ("@ --gpu-memory h100 --prefill-tokens 0", ["--prefill-tokens"]),
    ("@ --gpu-memory h100 --lora -1", ["--lora"]),
    ("@ --gpu-memory h100 --lora 2 --lora-rank 0", ["--lora-rank"]),
    ("@ --gpu-memory h100 --reserve some", ["--reserve", "'some'"]),
    ("@ --gpu-memory h100 --reserve graph=1GiB", ["--reserve", "graphs=SIZE"]),
    ("@ --gpu-memory h100 --reserve graphs=1GiB,", ["--reserve"]),
    ("@ --gpu-memory h100 --arrival-rate 3", ["--prompt-mean"]),
    ("@ --gpu-memory h100 --seconds-per-token 0.1", ["--arrival-rate"]),
    ("@ --gpu-memory h100 --trace /nowhere", ["--format"]),
    ("@ --gpu-memory h100 --format azure", ["--trace"]),
    ("@ --gpu-memory h100 --trace /nowhere --format azure", ["/nowhere"]),
    ("@ --gpu-memory h100 --trace /nowhere --format azure --arrival-rate 3", ["--arrival-rate"]),
    ("@ --gpu-memory h100 --gpu-memory h200", ["--gpu-memory"]),
    ("@ @ --gpu-memory h100", []),
    ("/nowhere --gpu-memory h100", ["/nowhere"]),
    ("/ --gpu-memory h100", ["/"]),
    ("/dev/null --gpu-memory h100", ["/dev/null"]),
]


class Refusals(unittest.TestCase):
    def refused(self, arguments, words):
        code, out, err = run("plan", *arguments)
        self.assertEqual((code, out), (2, ""), (arguments, err))
        self.assertTrue(err.startswith("tokenheap: "), err)
        self.assertLessEqual(err.count("\n"), 2, err)
        for word in words:
            self.assertIn(word, err)

    def test_options(self):
        with model_folder(MODELS["llama-3-70b"]) as path:
            for line, words in BAD:
                with self.subTest(line):
                    self.refused(line.replace("@", path).split(), words)

    def test_configs(self):
        good = MODELS["llama-3-70b"]
        broken = [
            (b"", []), (b"{", []), (b"[]", []), (b"null", []), (b"\xff\xfe", []), (b"[" * 100000, []),
            ({**good, "num_hidden_layers": -1}, ["num_hidden_layers"]),
            ({**good, "num_hidden_layers": "80"}, ["num_hidden_layers"]),
            ({**good, "num_hidden_layers": 10**15}, ["num_hidden_layers"]),
            ({**good, "num_attention_heads": 0}, ["num_attention_heads"]),
            ({**good, "num_key_value_heads": 1.5}, ["num_key_value_heads"]),
            ({key: good[key] for key in good if key != "hidden_size"}, ["hidden_size"]),
        ]
        for config, words in broken:
            with self.subTest(str(config)[:60]), model_folder(config) as path:
                self.refused([path, "--gpu-memory", "h100"], ["config.json", *words])

    def test_garbage_never_kills(self):
        seed = random.randrange(1 << 30)
        dice = random.Random(seed)
        for _ in range(60):
            text = bytearray(json.dumps(MODELS[dice.choice(sorted(MODELS))]).encode())
            for _ in range(dice.randrange(1, 6)):
                at = dice.randrange(len(text))
                text[at:at + dice.randrange(3)] = bytes(dice.choice(b'0123456789-.e[]{}",:nul\xff') for _ in range(dice.randrange(3)))
            with model_folder(bytes(text[:dice.choice([None, dice.randrange(len(text))])])) as path:
                code, _, err = run("plan", path, "--gpu-memory", "h100", "--json")
                self.assertIn(code, (0, 2), (seed, text, err))
                self.assertEqual(code == 0, err == "", (seed, text, err))

    def test_an_output_that_takes_nothing_is_an_error(self):
        with model_folder(MODELS["qwen3-8b"]) as path:
            code, out, err = run("plan", path, "--gpu-memory", "h100", "--html", os.path.join(path, "none", "x.html"))
            self.assertEqual((code, out), (1, ""))
            self.assertIn("--html", err)
            self.assertEqual(run("plan", path, "--gpu-memory", "h100", "--html", "/dev/full")[0], 1)


class Page(html.parser.HTMLParser):
    """Every tag is closed in order, nothing is loaded, and the text can be looked into."""

    ALONE = {"meta"}

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text, self.problems = [], [], "", []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.ALONE:
            self.open.append(tag)
        self.problems += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset") or name.startswith("on")]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}>")

    def handle_data(self, data):
        self.text += data


class Html(unittest.TestCase):
    def page(self, config, *options, name="model", memory="80GiB"):
        with model_folder(config, name) as path:
            file = os.path.join(os.path.dirname(path), "plan.html")
            code, out, err = run("plan", path, "--gpu-memory", memory, "--html", file, *options)
            self.assertEqual((code, err), (0, ""))
            self.assertTrue(out)
            with open(file, encoding="utf-8") as opened:
                text = opened.read()
        page = Page()
        page.feed(text)
        page.close()
        self.assertEqual((page.open, page.problems), ([], []))
        for word in ("http:", "https:", "//cdn", "<script", "<link", "@import", "url("):
            self.assertNotIn(word, text)
        self.assertTrue(text.startswith("<!doctype html>\n"))
        self.assertIn("prefers-color-scheme: dark", text)
        return page, text

    def test_what_stands_in_it(self):
        page, _ = self.page(MODELS["llama-3-70b"], "--tp", 4)
        bars = [attrs for tag, attrs in page.seen if tag == "svg"]
        self.assertEqual(len(bars), 1)
        widths = [float(attrs["width"]) for tag, attrs in page.seen if tag == "rect"]
        self.assertGreaterEqual(len(widths), 5)
        self.assertAlmostEqual(sum(widths), 1000, places=1)
        cells = [attrs["class"] for tag, attrs in page.seen if tag == "td" and attrs.get("class")]
        self.assertEqual(len(cells), 4 * 3 * 3)
        self.assertEqual(cells.count("yes asked"), 1)
        self.assertIn("no", cells)
        for text in ("Fits", "327,680 B", "vllm serve", "What if", "Assumed"):
            self.assertIn(text, page.text)

    def test_names_are_text(self):
        name = "<b>&\"'\x01\u00e9x"
        page, text = self.page({**MODELS["qwen3-8b"], "model_type": "<script>alert(1)</script>"}, name=name)
        self.assertIn("<b>&\"'?\u00e9x", page.text)
        self.assertNotIn("<script>", text)
        self.assertNotIn("b", [tag for tag, attrs in page.seen if attrs.get("id")])

    def test_stages_and_shortage(self):
        page, _ = self.page(MODELS["llama-3-70b"], "--pp", 3, "--sequences", 4000)
        self.assertGreaterEqual(len([tag for tag, _ in page.seen if tag == "svg"]), 2)
        self.assertIn("Does not fit", page.text)
        page, _ = self.page(MODELS["gemma-3-27b"], "--arrival-rate", 2, "--prompt-mean", 900, "--output-mean", 90)
        self.assertIn("The load", page.text)
        page, _ = self.page(MODELS["llama-3-70b"], memory="1GiB")
        self.assertIn("beyond the budget", page.text)


if __name__ == "__main__":
    main()
