// The weights of any llama.cpp model on memory of our own, by llama.cpp's public option for where tensors lie.
//
//   llama_weights MODEL.gguf [TOKENS]
//
// Decodes greedily twice, first with ggml's memory, and fails if a logit differs. Needs llama.h and ggml-backend-impl.h.
#include <ggml-backend.h>
#include <ggml-backend-impl.h>
#include <llama.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <tokenheap/adapt/ggml_buffer_type.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/source/pages.hpp>

namespace {

using memory = tokenheap::layered<tokenheap::page_source, tokenheap::with<tokenheap::counters>>;

struct outcome {
  std::uint64_t hash = 0xcbf29ce484222325;
  double seconds = 0;
};

/// Loads, decodes and frees a model; `weights_in` is null for ggml's own memory.
outcome generate(const char* path, int tokens, ggml_backend_buffer_type* weights_in) {
  outcome out;
  // [overrides]
  const llama_model_tensor_buft_override everywhere[] = {{".*", weights_in}, {nullptr, nullptr}};
  llama_model_params how = llama_model_default_params();
  if (weights_in != nullptr) how.tensor_buft_overrides = everywhere;
  llama_model* const model = llama_model_load_from_file(path, how);
  // [overrides]
  if (model == nullptr) std::exit(1);
  llama_context_params with = llama_context_default_params();
  with.n_ctx = 512;
  with.n_threads = with.n_threads_batch = 1;
  llama_context* const decoder = llama_init_from_model(model, with);
  if (decoder == nullptr) std::exit(1);
  const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  const std::clock_t begun = std::clock();
  llama_token next = 1;
  for (int k = 0; k != tokens; ++k) {
    if (llama_decode(decoder, llama_batch_get_one(&next, 1)) != 0) std::exit(1);
    const float* const logits = llama_get_logits_ith(decoder, -1);
    for (int v = 0; v != vocabulary; ++v) {
      std::uint32_t bits = 0;
      std::memcpy(&bits, logits + v, sizeof bits);
      out.hash = (out.hash ^ bits) * 0x100000001b3;
    }
    next = static_cast<llama_token>(std::max_element(logits, logits + vocabulary) - logits);
  }
  out.seconds = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
  llama_free(decoder);
  llama_model_free(model);
  return out;
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) return std::fprintf(stderr, "llama_weights MODEL.gguf [TOKENS]\n"), 2;
  const int tokens = count > 2 ? std::atoi(words[2]) : 64;
  llama_log_set([](ggml_log_level level, const char* text, void*) { if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr); },
                nullptr);
  llama_backend_init();
  const outcome own = generate(words[1], tokens, nullptr);
  // [type]
  memory pages(tokenheap::page_options{.huge = tokenheap::huge_pages::transparent, .name = "weights"});
  tokenheap::adapt::ggml_buffer_type mine(pages, ggml_backend_cpu_buffer_type(), &ggml_backend_cpu_buffer_from_ptr, "weights");
  const outcome ours = generate(words[1], tokens, mine.get());
  // [type]
  llama_backend_free();
  const tokenheap::counter_values took = pages.policy<tokenheap::counters>().values();
  std::printf("WAY {\"own\": \"%016llx\", \"ours\": \"%016llx\", \"allocations\": %zu, \"peak_bytes\": %zu, \"asked_bytes\": %zu, "
              "\"own_seconds\": %.6f, \"our_seconds\": %.6f}\n",
              static_cast<unsigned long long>(own.hash), static_cast<unsigned long long>(ours.hash), took.calls.allocated,
              took.granted.peak, took.requested.allocated, own.seconds, ours.seconds);
  if (own.hash == ours.hash && took.calls.allocated != 0 && took.granted.current == 0 && mine.buffers() == 0) return 0;
  return std::fprintf(stderr, "llama_weights: logits differ, or memory did not come back\n"), 1;
}
