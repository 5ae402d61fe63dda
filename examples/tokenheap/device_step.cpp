#include "device_step.hpp"

#include <algorithm>
#include <new>

namespace program {
namespace {

std::size_t blocks_of(const row& last) { return last.position / last.cache->layout.block_tokens + 1; }

// true if a row is the last one of its sequence in this step
bool ends(std::span<const row> plan, std::size_t i) { return i + 1 == plan.size() || plan[i + 1].cache != plan[i].cache; }

}  // namespace

std::span<const row> device_step::inputs(std::span<const row> plan) {
  std::size_t sequences = 0;
  std::size_t blocks = 0;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    wanted_ += plan[i].logits != nullptr;
    if (!ends(plan, i)) continue;
    ++sequences;
    blocks += blocks_of(plan[i]);
  }
  const std::size_t bytes = plan.size() * sizeof(row) + sequences * sizeof(kv_view) + blocks * sizeof(std::byte*);
  inputs_ = on_.take(on_.copies(), bytes, memory_class::scratch);
  if (wanted_ != 0)
    logits_ = on_.take(on_.compute(), wanted_ * model_shape::vocabulary * sizeof(float), memory_class::activations);
  std::byte* const staged = on_.problem().empty() ? on_.stage(bytes) : nullptr;
  if (staged == nullptr) return {};
  auto* rows = reinterpret_cast<row*>(staged);
  auto* views = reinterpret_cast<kv_view*>(rows + plan.size());
  auto* table = reinterpret_cast<std::byte**>(views + sequences);
  // where something staged will lie on the device
  const auto there = [&]<class T>(T* at) {
    return reinterpret_cast<T*>(static_cast<std::byte*>(inputs_.data) + (reinterpret_cast<std::byte*>(at) - staged));
  };
  auto* logits = static_cast<float*>(logits_.data);
  for (std::size_t i = 0; i < plan.size(); ++i) {
    new (rows++) row{plan[i].token, plan[i].position, there(views), plan[i].logits == nullptr ? nullptr : logits};
    if (plan[i].logits != nullptr) logits += model_shape::vocabulary;
    if (!ends(plan, i)) continue;
    new (views++) kv_view{plan[i].cache->layout, there(table)};
    table = std::copy_n(plan[i].cache->blocks, blocks_of(plan[i]), table);
  }
  if (!on_.send(inputs_.data, bytes) || !on_.compute_after_copies()) return {};
  return {static_cast<const row*>(inputs_.data), plan.size()};
}

float* device_step::take(std::size_t count, memory_class of) {
  const tokenheap::allocation a = on_.take(on_.compute(), count * sizeof(float), of);
  if (a) pieces_.push_back(a);
  return static_cast<float*>(a.data);
}

bool device_step::finish() {
  const std::size_t bytes = wanted_ * model_shape::vocabulary * sizeof(float);
  if (wanted_ != 0 && !on_.fetch(logits_.data, bytes)) return false;
  end();
  return wanted_ == 0 ? on_.problem().empty() : on_.arrive(bytes) && on_.problem().empty();
}

void device_step::end() {
  for (; !pieces_.empty(); pieces_.pop_back()) on_.give(pieces_.back());
  on_.give(logits_, on_.copies());
  on_.give(inputs_, on_.compute());
  logits_ = inputs_ = {};
}

}  // namespace program
