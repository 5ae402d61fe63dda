#include "verify.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "progress.hpp"

namespace program {
namespace {

constexpr std::size_t rows_at_once = 256;
constexpr std::size_t differences_told = 5;

// one thread's own cache and scratch; nothing of the pool under test is used here
class checker {
 public:
  checker(const decoder& model, kv::dtype type, const workload& work) : model_(model), type_(type), work_(work) {}

  static constexpr std::uint32_t no_step = ~std::uint32_t{0};

  // finds the first step and column at which the logits differ, or `no_step`; false if memory ran out
  bool check(std::size_t n, const recorded_logits& expected, std::uint32_t& differs, std::size_t& column) {
    const job& j = work_.jobs()[n];
    differs = no_step;
    const kv::layout one = layout_of_model(j.longest(), type_);
    cache_.resize(one.block_bytes());
    tokens_.resize(j.longest());
    work_.write_prompt(n, tokens_.data());
    std::byte* const one_block[] = {cache_.data()};
    const kv_view view{one, one_block};
    std::vector<float> logits(model_shape::vocabulary);
    column = 0;
    std::uint32_t known = j.prompt_tokens;
    std::uint32_t computed = 0;
    for (std::uint32_t step = 0; step < j.output_tokens; ++step) {
      while (computed < known) {
        const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(rows_at_once, known - computed));
        rows_.clear();
        for (std::uint32_t i = 0; i < count; ++i)
          rows_.push_back({tokens_[computed + i], computed + i, &view, nullptr});
        if (computed + count == known) rows_.back().logits = logits.data();
        if (!model_.forward(rows_, scratch_)) return false;
        scratch_.reset();
        computed += count;
      }
      const float* const other = expected.data() + std::size_t{step} * model_shape::vocabulary;
      if (std::memcmp(other, logits.data(), logits.size() * sizeof(float)) != 0) {
        differs = step;
        while (std::bit_cast<std::uint32_t>(other[column]) == std::bit_cast<std::uint32_t>(logits[column])) ++column;
        return true;
      }
      tokens_[known++] = work_.choose(n, step, logits);
    }
    return true;
  }

 private:
  const decoder& model_;
  kv::dtype type_;
  const workload& work_;
  scratch_memory scratch_;
  std::vector<std::byte> cache_;
  std::vector<std::uint32_t> tokens_;
  std::vector<row> rows_;
};

}  // namespace

verification verify(const decoder& model, kv::dtype type, const workload& work,
                    const std::vector<recorded_logits>& recorded) {
  verification out;
  std::vector<std::size_t> chosen;
  for (std::size_t n = 0; n < recorded.size(); ++n)
    if (!recorded[n].empty()) chosen.push_back(n);
  progress_bar bar("verifying", chosen.size());
  std::atomic<std::size_t> next{0};
  std::mutex one_at_a_time;
  const auto run = [&] {
    checker mine(model, type, work);
    for (std::size_t i = next++; i < chosen.size(); i = next++) {
      const std::size_t n = chosen[i];
      std::uint32_t step = 0;
      std::size_t column = 0;
      const bool done = mine.check(n, recorded[n], step, column);
      const std::lock_guard hold(one_at_a_time);
      if (!done) out.out_of_memory = true;
      if (!done) return;
      ++out.verified;
      out.tokens += work.jobs()[n].longest();
      bar.at(out.verified);
      if (step == checker::no_step) continue;
      ++out.mismatches;
      if (out.differences.size() < differences_told)
        out.differences.push_back(fmt::format("request {}, step {}: logit {} differs", n, step, column));
    }
  };
  const unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1U, 4U);
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads; ++i) others.emplace_back(run);
  run();
  for (std::thread& t : others) t.join();
  return out;
}

}  // namespace program
