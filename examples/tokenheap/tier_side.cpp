#include "tier_side.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "options.hpp"

namespace program {
namespace {

complaint described(const tokenheap::failure& why) {
  char text[320];
  tokenheap::describe(why, text, sizeof text);
  return text;
}

// a whole number, with K, M or G behind it if bytes are meant; false if it is none or does not fit
bool read_amount(std::string text, std::uint64_t& out) {
  unsigned shift = 0;
  if (!text.empty())
    if (const std::size_t unit = std::string("KMG").find(text.back()); unit != std::string::npos) {
      shift = 10 * static_cast<unsigned>(unit + 1);
      text.pop_back();
    }
  if (!whole(1, most_blocks * 1024)(text).empty()) return false;
  out = std::stoull(text);
  return out << shift >> shift == out && (out <<= shift, true);
}

complaint read_blocks(const std::string& text, std::uint32_t& out) {
  std::uint64_t blocks = 0;
  if (!read_amount(text, blocks) || blocks > most_blocks)
    return fmt::format("--tiers: needs 1 to {} blocks, found '{}'", most_blocks, text);
  out = static_cast<std::uint32_t>(blocks);
  return {};
}

}  // namespace

complaint read_tiers(const std::string& text, tier_options& out) {
  static constexpr const char* order[] = {"device", "host", "file", "redis"};
  std::size_t next = 0;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const std::size_t colon = std::min(part.find(':'), part.size());
    const auto* const known = std::find(order + next, std::end(order), part.substr(0, colon));
    if (known == std::end(order) || colon == part.size())
      return fmt::format("--tiers: needs device:N, host:N, file:PATH:BYTES and redis:HOST:PORT, in this order, found '{}'", part);
    next = static_cast<std::size_t>(known - order) + 1;
    const std::string amount = part.substr(colon + 1);
    complaint bad;
    if (next == 1) bad = read_blocks(amount, out.device_blocks);
    if (next == 2) bad = read_blocks(amount, out.host_blocks);
    if (next == 3) {
      const std::size_t last = amount.rfind(':');
      if (last == std::string::npos || last == 0 || !read_amount(amount.substr(last + 1), out.file_bytes))
        return fmt::format("--tiers: needs file:PATH:BYTES, such as file:kv.tier:64M, found '{}'", part);
      out.file = amount.substr(0, last);
    }
    if (next == 4) {
      const std::size_t last = amount.rfind(':');
      std::string port = last == std::string::npos ? "" : amount.substr(last + 1);
      if (port.empty() || last == 0 || !whole(1, 65'535)(port).empty())
        return fmt::format("--tiers: needs redis:HOST:PORT, such as redis:127.0.0.1:6379, found '{}'", part);
      out.redis = amount;
    }
    if (!bad.empty()) return bad;
    begin = end + 1;
  }
  return {};
}

complaint tier_side::open(const tier_options& with, const kv::layout& shape, std::uint64_t seed) {
  // blocks of another format are other blocks, though they may have as many bytes
  const std::uint64_t secret[] = {seed, static_cast<std::uint64_t>(shape.type)};
  names_ = kv::sip128::open(secret, sizeof secret);
  const std::size_t bytes = shape.block_bytes();
  if (with.host_blocks != 0) {
    auto made = kv::host_tier<>::open({.block_bytes = bytes, .room = {.blocks = with.host_blocks}}, heap_);
    if (!made) return described(made.why());
    below_.emplace_back(host_.emplace(std::move(*made)));
  }
  if (!with.file.empty()) {
    auto made = kv::file_tier<>::open({.path = with.file.c_str(), .block_bytes = bytes, .max_bytes = with.file_bytes});
    if (!made) return described(made.why());
    below_.emplace_back(file_.emplace(std::move(*made)));
  }
  if (complaint bad = open_redis(with, bytes); !bad.empty()) return bad;
  auto made = kv::tier_chain<>::open({}, below_.data(), below_.size(), heap_);
  if (!made) return described(made.why());
  chain_.emplace(std::move(*made));
  return {};
}

complaint tier_side::open_redis(const tier_options& with, std::size_t bytes) {
  if (with.redis.empty()) return {};
#if defined(TOKENHEAP_HAS_REDIS)
  auto made = kv::redis_tier<>::open({.servers = with.redis.c_str(), .block_bytes = bytes});
  if (!made) return described(made.why());
  below_.emplace_back(redis_.emplace(std::move(*made)));
  return {};
#else
  return fmt::format("--tiers: redis needs a program that was built with hiredis ({} bytes a block)", bytes);
#endif
}

/// What is far must be asked first: it is given a moment to answer, and what has not come by then is a miss.
void tier_side::ask(const kv::tier_key* names, std::size_t n) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  do {
    chain_->lookup(names, n, answers_.data());
    if (std::find(answers_.begin(), answers_.end(), kv::tier_answer::retry) == answers_.end()) return;
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < until);
}

void tier_side::name_blocks(request& r, std::size_t blocks) {
  const std::size_t tokens = r.blocks->block_tokens();
  while (r.names.size() < blocks) {
    // who must not find a block in the pool must not find it below either
    const kv::hash128 parent = r.names.empty() ? names_.root(&r.tenant, sizeof r.tenant)
                                               : kv::hash128{r.names.back().low, r.names.back().high};
    const kv::hash128 made = names_(parent, r.tokens + r.names.size() * tokens, tokens);
    r.names.push_back({made.low, made.high, 0});
  }
}

void tier_side::span_blocks(const request& r, const block_pool& pool, std::size_t from, std::size_t to) {
  spans_.clear();
  for (std::size_t at = from; at < to; ++at)
    spans_.push_back({pool.data(r.blocks->blocks()[at]), pool.shape().block_bytes()});
  answers_.assign(spans_.size(), kv::tier_answer::miss);
}

complaint tier_side::store(request& r, const block_pool& pool) {
  const std::size_t full = r.blocks->published_tokens() / r.blocks->block_tokens();
  if (full <= r.stored) return {};
  name_blocks(r, full);
  span_blocks(r, pool, r.stored, full);
  const kv::tier_ticket ticket = chain_->prepare_store(&r.names[r.stored], spans_.data(), spans_.size());
  while (!chain_->poll(ticket)) std::this_thread::yield();
  chain_->complete_store(ticket, true, answers_.data());
  r.stored = full;
  return {};
}

std::uint32_t tier_side::load(request& r, const block_pool& pool) {
  const std::size_t tokens = r.blocks->block_tokens();
  const std::size_t from = r.blocks->cached_tokens() / tokens;
  // the last token is always computed: its logits are wanted
  const std::size_t most = (r.known - 1) / tokens;
  r.stored = from;
  if (most <= from) return 0;
  name_blocks(r, most);
  span_blocks(r, pool, from, most);
  ask(&r.names[from], most - from);
  const auto first_miss = std::find_if(answers_.begin(), answers_.end(),
                                       [](kv::tier_answer a) { return a != kv::tier_answer::hit; });
  const auto found = static_cast<std::size_t>(first_miss - answers_.begin());
  if (found == 0) return 0;
  const kv::tier_ticket ticket = chain_->prepare_load(&r.names[from], spans_.data(), found);
  while (!chain_->poll(ticket)) std::this_thread::yield();
  std::fill(answers_.begin(), answers_.end(), kv::tier_answer::miss);
  chain_->complete_load(ticket, answers_.data());
  std::uint32_t whole = 0;
  while (whole < found && answers_[whole] == kv::tier_answer::hit) ++whole;
  loaded_ += whole;
  r.stored = from + whole;
  return whole;
}

std::vector<tier_outcome> tier_side::outcome() const {
  std::vector<tier_outcome> all;
  for (const kv::tier_ref& one : below_) all.push_back({one.name(), one.stats()});
  return all;
}

bool tier_side::is_valid() const {
  return chain_->is_valid() && std::all_of(below_.begin(), below_.end(),
                                           [](const kv::tier_ref& one) { return one.stats().adds_up(one.stats().capacity == 0); });
}

}  // namespace program
