// config.json texts of models, written from their published dimensions.
#pragma once

namespace configs {

inline constexpr const char* llama2_13b = R"({"model_type": "llama", "torch_dtype": "float16", "hidden_size": 5120,
  "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40, "num_key_value_heads": 40,
  "vocab_size": 32000, "max_position_embeddings": 4096, "tie_word_embeddings": false})";

inline constexpr const char* llama3_8b = R"({"model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 4096,
  "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
  "vocab_size": 128256, "max_position_embeddings": 8192, "tie_word_embeddings": false})";

inline constexpr const char* llama3_70b = R"({"model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 8192,
  "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
  "vocab_size": 128256, "max_position_embeddings": 131072, "tie_word_embeddings": false})";

inline constexpr const char* llama32_1b = R"({"model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 2048,
  "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
  "vocab_size": 128256, "max_position_embeddings": 131072, "tie_word_embeddings": true})";

inline constexpr const char* mistral_7b = R"({"model_type": "mistral", "torch_dtype": "bfloat16", "hidden_size": 4096,
  "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
  "vocab_size": 32000, "max_position_embeddings": 32768, "sliding_window": 4096, "tie_word_embeddings": false})";

inline constexpr const char* qwen25_7b = R"({"model_type": "qwen2", "torch_dtype": "bfloat16", "hidden_size": 3584,
  "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
  "vocab_size": 152064, "max_position_embeddings": 32768, "sliding_window": 131072, "max_window_layers": 28,
  "use_sliding_window": false, "tie_word_embeddings": false})";

inline constexpr const char* qwen3_8b = R"({"model_type": "qwen3", "torch_dtype": "bfloat16", "hidden_size": 4096,
  "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
  "head_dim": 128, "attention_bias": false, "vocab_size": 151936, "max_position_embeddings": 40960,
  "sliding_window": null, "use_sliding_window": false, "max_window_layers": 36, "tie_word_embeddings": false})";

inline constexpr const char* gemma2_9b = R"({"model_type": "gemma2", "torch_dtype": "float32", "hidden_size": 3584,
  "intermediate_size": 14336, "num_hidden_layers": 42, "num_attention_heads": 16, "num_key_value_heads": 8,
  "head_dim": 256, "vocab_size": 256000, "max_position_embeddings": 8192, "sliding_window": 4096})";

inline constexpr const char* gemma3_27b = R"({"model_type": "gemma3", "torch_dtype": "bfloat16",
  "text_config": {"model_type": "gemma3_text", "head_dim": 128, "hidden_size": 5376, "intermediate_size": 21504,
    "num_attention_heads": 32, "num_hidden_layers": 62, "num_key_value_heads": 16, "query_pre_attn_scalar": 168,
    "sliding_window": 1024, "max_position_embeddings": 131072},
  "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27}})";

inline constexpr const char* gemma3_4b = R"({"model_type": "gemma3", "torch_dtype": "bfloat16",
  "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240,
    "num_hidden_layers": 34, "sliding_window": 1024}})";

inline constexpr const char* phi3_mini = R"({"model_type": "phi3", "torch_dtype": "bfloat16", "hidden_size": 3072,
  "intermediate_size": 8192, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
  "vocab_size": 32064, "max_position_embeddings": 4096, "sliding_window": 2047, "tie_word_embeddings": false})";

inline constexpr const char* phi2 = R"({"model_type": "phi", "torch_dtype": "float16", "hidden_size": 2560,
  "intermediate_size": 10240, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
  "vocab_size": 51200, "max_position_embeddings": 2048, "tie_word_embeddings": false})";

inline constexpr const char* mixtral_8x7b = R"({"model_type": "mixtral", "torch_dtype": "bfloat16", "hidden_size": 4096,
  "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
  "num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 32000, "max_position_embeddings": 32768,
  "sliding_window": null, "tie_word_embeddings": false})";

inline constexpr const char* qwen15_moe = R"({"model_type": "qwen2_moe", "torch_dtype": "bfloat16", "hidden_size": 2048,
  "intermediate_size": 5632, "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632, "num_experts": 60,
  "num_experts_per_tok": 4, "decoder_sparse_step": 1, "num_hidden_layers": 24, "num_attention_heads": 16,
  "num_key_value_heads": 16, "vocab_size": 151936, "max_position_embeddings": 8192, "max_window_layers": 21,
  "sliding_window": 32768, "use_sliding_window": false, "tie_word_embeddings": false})";

inline constexpr const char* qwen3_30b = R"({"model_type": "qwen3_moe", "torch_dtype": "bfloat16", "hidden_size": 2048,
  "intermediate_size": 6144, "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8,
  "decoder_sparse_step": 1, "mlp_only_layers": [], "num_hidden_layers": 48, "num_attention_heads": 32,
  "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 40960,
  "sliding_window": null, "use_sliding_window": false, "tie_word_embeddings": false})";

inline constexpr const char* deepseek_v3 = R"({"model_type": "deepseek_v3", "torch_dtype": "bfloat16", "hidden_size": 7168,
  "intermediate_size": 18432, "moe_intermediate_size": 2048, "n_routed_experts": 256, "n_shared_experts": 1,
  "num_experts_per_tok": 8, "first_k_dense_replace": 3, "moe_layer_freq": 1, "topk_method": "noaux_tc",
  "num_hidden_layers": 61, "num_nextn_predict_layers": 1, "num_attention_heads": 128, "num_key_value_heads": 128,
  "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
  "attention_bias": false, "vocab_size": 129280, "max_position_embeddings": 163840, "tie_word_embeddings": false,
  "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
    "weight_block_size": [128, 128]}})";

inline constexpr const char* deepseek_v2_lite = R"({"model_type": "deepseek_v2", "torch_dtype": "bfloat16",
  "hidden_size": 2048, "intermediate_size": 10944, "moe_intermediate_size": 1408, "n_routed_experts": 64,
  "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1, "moe_layer_freq": 1,
  "topk_method": "greedy", "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16,
  "q_lora_rank": null, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
  "vocab_size": 102400, "max_position_embeddings": 163840, "tie_word_embeddings": false})";

inline constexpr const char* gpt_oss_20b = R"({"model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880,
  "num_hidden_layers": 24, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "attention_bias": true,
  "num_local_experts": 32, "num_experts_per_tok": 4, "sliding_window": 128, "vocab_size": 201088,
  "max_position_embeddings": 131072, "tie_word_embeddings": false,
  "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention", "sliding_attention",
    "full_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention", "sliding_attention",
    "full_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention", "sliding_attention",
    "full_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention", "sliding_attention",
    "full_attention"],
  "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn",
    "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]}})";

inline constexpr const char* jamba = R"({"model_type": "jamba", "torch_dtype": "bfloat16", "hidden_size": 4096,
  "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
  "attn_layer_period": 8, "attn_layer_offset": 4, "expert_layer_period": 2, "expert_layer_offset": 1,
  "num_experts": 16, "num_experts_per_tok": 2, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2,
  "mamba_dt_rank": 256, "mamba_conv_bias": true, "mamba_proj_bias": false, "vocab_size": 65536,
  "max_position_embeddings": 262144, "sliding_window": null, "tie_word_embeddings": false})";

inline constexpr const char* qwen3_next = R"({"model_type": "qwen3_next", "torch_dtype": "bfloat16", "hidden_size": 2048,
  "intermediate_size": 5120, "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512, "num_experts": 512,
  "num_experts_per_tok": 10, "decoder_sparse_step": 1, "mlp_only_layers": [], "num_hidden_layers": 48,
  "full_attention_interval": 4, "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256,
  "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
  "linear_value_head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 262144, "tie_word_embeddings": false})";

inline constexpr const char* whisper_tiny = R"({"model_type": "whisper", "torch_dtype": "float32", "d_model": 384,
  "encoder_layers": 4, "decoder_layers": 4, "num_hidden_layers": 4, "encoder_attention_heads": 6,
  "decoder_attention_heads": 6, "encoder_ffn_dim": 1536, "decoder_ffn_dim": 1536, "num_mel_bins": 80,
  "max_source_positions": 1500, "max_target_positions": 448, "vocab_size": 51865, "is_encoder_decoder": true})";

inline constexpr const char* whisper_large_v3 = R"({"model_type": "whisper", "torch_dtype": "float16", "d_model": 1280,
  "encoder_layers": 32, "decoder_layers": 32, "num_hidden_layers": 32, "encoder_attention_heads": 20,
  "decoder_attention_heads": 20, "encoder_ffn_dim": 5120, "decoder_ffn_dim": 5120, "num_mel_bins": 128,
  "max_source_positions": 1500, "max_target_positions": 448, "vocab_size": 51866, "is_encoder_decoder": true})";

inline constexpr const char* gpt2 = R"({"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "n_ctx": 1024,
  "n_positions": 1024, "n_inner": null, "vocab_size": 50257})";

inline constexpr const char* falcon_7b = R"({"model_type": "falcon", "torch_dtype": "bfloat16", "hidden_size": 4544,
  "num_attention_heads": 71, "num_hidden_layers": 32, "num_kv_heads": 71, "multi_query": true,
  "new_decoder_architecture": false, "parallel_attn": true, "bias": false, "alibi": false, "vocab_size": 65024})";

inline constexpr const char* falcon_40b = R"({"model_type": "falcon", "torch_dtype": "bfloat16", "hidden_size": 8192,
  "num_attention_heads": 128, "num_hidden_layers": 60, "num_kv_heads": 8, "multi_query": true,
  "new_decoder_architecture": true, "parallel_attn": true, "bias": false, "alibi": false, "vocab_size": 65024})";

inline constexpr const char* opt_13b = R"({"model_type": "opt", "torch_dtype": "float16", "hidden_size": 5120,
  "ffn_dim": 20480, "num_hidden_layers": 40, "num_attention_heads": 40, "word_embed_proj_dim": 5120,
  "do_layer_norm_before": true, "vocab_size": 50272, "max_position_embeddings": 2048})";

inline constexpr const char* bloom_560m = R"({"model_type": "bloom", "hidden_size": 1024, "n_head": 16, "n_layer": 24,
  "seq_length": 2048, "vocab_size": 250880})";

inline constexpr const char* pythia_7b = R"({"model_type": "gpt_neox", "torch_dtype": "float16", "hidden_size": 4096,
  "intermediate_size": 16384, "num_attention_heads": 32, "num_hidden_layers": 32, "vocab_size": 50432,
  "max_position_embeddings": 2048, "tie_word_embeddings": false})";

inline constexpr const char* starcoder = R"({"model_type": "gpt_bigcode", "torch_dtype": "float32", "n_embd": 6144,
  "n_head": 48, "n_layer": 40, "n_inner": 24576, "n_positions": 8192, "multi_query": true, "vocab_size": 49152})";

inline constexpr const char* llama4_scout = R"({"model_type": "llama4", "torch_dtype": "bfloat16",
  "text_config": {"model_type": "llama4_text", "hidden_size": 5120, "intermediate_size": 8192,
    "intermediate_size_mlp": 16384, "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8,
    "head_dim": 128, "num_local_experts": 16, "num_experts_per_tok": 1, "interleave_moe_layer_step": 1,
    "attention_chunk_size": 8192, "no_rope_layers": [], "vocab_size": 202048, "max_position_embeddings": 10485760,
    "tie_word_embeddings": false}})";

inline constexpr const char* llama32_11b_vision = R"({"model_type": "mllama", "torch_dtype": "bfloat16",
  "text_config": {"model_type": "mllama_text_model", "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38], "max_position_embeddings": 131072,
    "tie_word_embeddings": false},
  "vision_config": {"image_size": 560, "patch_size": 14, "max_num_tiles": 4}})";

inline constexpr const char* llava_7b = R"({"model_type": "llava", "torch_dtype": "float16",
  "text_config": {"model_type": "llama", "max_position_embeddings": 4096, "torch_dtype": "float16", "vocab_size": 32064}})";

inline constexpr const char* chatglm2_6b = R"({"model_type": "chatglm", "torch_dtype": "float16", "hidden_size": 4096,
  "num_layers": 28, "num_attention_heads": 32, "multi_query_attention": true, "multi_query_group_num": 2,
  "kv_channels": 128, "ffn_hidden_size": 13696, "padded_vocab_size": 65024, "add_qkv_bias": true,
  "add_bias_linear": false, "seq_length": 32768, "tie_word_embeddings": false})";

inline constexpr const char* stablelm2_1_6b = R"({"model_type": "stablelm", "torch_dtype": "float16", "hidden_size": 2048,
  "intermediate_size": 5632, "num_hidden_layers": 24, "num_attention_heads": 32, "num_key_value_heads": 32,
  "use_qkv_bias": true, "vocab_size": 100352, "max_position_embeddings": 4096, "tie_word_embeddings": false})";

inline constexpr const char* starcoder2_3b = R"({"model_type": "starcoder2", "torch_dtype": "bfloat16", "hidden_size": 3072,
  "intermediate_size": 12288, "num_hidden_layers": 30, "num_attention_heads": 24, "num_key_value_heads": 2,
  "use_bias": true, "sliding_window": 4096, "vocab_size": 49152, "max_position_embeddings": 16384})";

inline constexpr const char* command_r = R"({"model_type": "cohere", "torch_dtype": "float16", "hidden_size": 8192,
  "intermediate_size": 22528, "num_hidden_layers": 40, "num_attention_heads": 64, "num_key_value_heads": 64,
  "vocab_size": 256000, "max_position_embeddings": 8192})";

inline constexpr const char* olmo2_7b = R"({"model_type": "olmo2", "torch_dtype": "float32", "hidden_size": 4096,
  "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
  "vocab_size": 100352, "max_position_embeddings": 4096, "tie_word_embeddings": false})";

inline constexpr const char* olmoe_7b = R"({"model_type": "olmoe", "torch_dtype": "bfloat16", "hidden_size": 2048,
  "intermediate_size": 1024, "num_experts": 64, "num_experts_per_tok": 8, "num_hidden_layers": 16,
  "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 50304, "max_position_embeddings": 4096,
  "tie_word_embeddings": false})";

inline constexpr const char* gptj_6b = R"({"model_type": "gptj", "torch_dtype": "float16", "n_embd": 4096, "n_head": 16,
  "n_layer": 28, "n_inner": null, "n_positions": 2048, "vocab_size": 50400, "tie_word_embeddings": false})";

inline constexpr const char* mpt_7b = R"({"model_type": "mpt", "torch_dtype": "bfloat16", "d_model": 4096, "n_heads": 32,
  "n_layers": 32, "expansion_ratio": 4, "no_bias": true, "max_seq_len": 2048, "vocab_size": 50432,
  "attn_config": {"alibi": true, "attn_type": "multihead_attention"}})";

inline constexpr const char* dbrx = R"({"model_type": "dbrx", "torch_dtype": "bfloat16", "d_model": 6144, "n_heads": 48,
  "n_layers": 40, "attn_config": {"clip_qkv": 8, "kv_n_heads": 8},
  "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4}, "max_seq_len": 32768,
  "vocab_size": 100352, "tie_word_embeddings": false})";

inline constexpr const char* phi35_moe = R"({"model_type": "phimoe", "torch_dtype": "bfloat16", "hidden_size": 4096,
  "intermediate_size": 6400, "num_local_experts": 16, "num_experts_per_tok": 2, "num_hidden_layers": 32,
  "num_attention_heads": 32, "num_key_value_heads": 8, "attention_bias": true, "lm_head_bias": true,
  "sliding_window": 131072, "vocab_size": 32064, "max_position_embeddings": 131072, "tie_word_embeddings": false})";

inline constexpr const char* gemma_2b = R"({"model_type": "gemma", "torch_dtype": "bfloat16", "hidden_size": 2048,
  "intermediate_size": 16384, "num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1,
  "head_dim": 256, "vocab_size": 256000, "max_position_embeddings": 8192})";

inline constexpr const char* lfm2_1_2b = R"({"model_type": "lfm2", "torch_dtype": "bfloat16", "hidden_size": 2048,
  "block_ff_dim": 12288, "block_auto_adjust_ff_dim": true, "block_multiple_of": 256, "num_hidden_layers": 16,
  "num_attention_heads": 32, "num_key_value_heads": 8, "full_attn_idxs": [2, 5, 8, 10, 12, 14], "conv_L_cache": 3,
  "conv_bias": false, "vocab_size": 65536, "max_position_embeddings": 128000})";

inline constexpr const char* mamba2_130m = R"({"model_type": "mamba2", "torch_dtype": "float32", "hidden_size": 768,
  "num_hidden_layers": 24, "num_heads": 24, "head_dim": 64, "state_size": 128, "n_groups": 1, "expand": 2,
  "conv_kernel": 4, "use_bias": false, "use_conv_bias": true, "vocab_size": 50288, "tie_word_embeddings": true})";

inline constexpr const char* kimi_linear_48b = R"({"model_type": "kimi_linear", "dtype": "bfloat16", "hidden_size": 2304,
  "intermediate_size": 9216, "moe_intermediate_size": 1024, "num_experts": 256, "num_shared_experts": 1,
  "first_k_dense_replace": 1, "moe_layer_freq": 1, "num_hidden_layers": 27, "num_attention_heads": 32,
  "num_key_value_heads": 32, "head_dim": 72, "q_lora_rank": null, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
  "qk_rope_head_dim": 64, "v_head_dim": 128, "linear_attn_config": {"full_attn_layers": [4, 8, 12, 16, 20, 24, 27],
    "kda_layers": [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 21, 22, 23, 25, 26], "head_dim": 128,
    "num_heads": 32, "short_conv_kernel_size": 4}, "vocab_size": 163840, "model_max_length": 1048576,
  "tie_word_embeddings": false})";

}  // namespace configs
