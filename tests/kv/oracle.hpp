// A slow and obvious model of a block pool, to compare the fast one with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <kv/kit.hpp>

namespace kit {

/// One request as the model sees it.
struct model_sequence {
  std::string key;
  std::vector<kv::token> tokens;
  ids blocks;
  std::size_t cached = 0;
};

/// Says which ids a pool must hand out, what it must find and whom it must evict; every prefix is spelled out in full.
class model_pool {
 public:
  using prefix = std::pair<std::string, std::vector<kv::token>>;

  model_pool(std::size_t blocks, std::size_t block_tokens, bool cache, bool null_block)
      : total_(blocks), block_tokens_(block_tokens), cache_(cache), first_(null_block ? 1 : 0), fresh_(first_) {}

  std::size_t total() const { return total_; }
  std::size_t free() const { return stack_.size() + (total_ + first_ - fresh_); }
  std::size_t cached() const { return order_.size(); }
  std::size_t live() const { return references_.size(); }
  std::size_t published() const { return where_.size(); }
  std::size_t references(kv::block_id id) const {
    const auto at = references_.find(id);
    return at == references_.end() ? 0 : at->second;
  }

  bool open(model_sequence& s, std::size_t lookahead, bool read, bool recompute_last) {
    const std::size_t count = blocks_for(s.tokens.size() + lookahead);
    ids found;
    if (read && cache_ && !s.tokens.empty()) {
      const std::size_t most = (s.tokens.size() - (recompute_last ? 1 : 0)) / block_tokens_;
      while (found.size() < most) {
        const auto at = holders_.find(prefix_of(s, found.size() + 1));
        if (at == holders_.end()) break;
        found.push_back(at->second.front());
      }
    }
    std::size_t idle = 0;
    for (const auto id : found) idle += references(id) == 0;
    if (count - found.size() > free() + cached() - idle) return false;
    for (const auto id : found) hold(id);
    s.cached = found.size() * block_tokens_;
    s.blocks = found;
    take(s.blocks, count - found.size());
    return true;
  }

  bool grow(model_sequence& s, std::size_t n) {
    if (n == 0) return true;
    const std::size_t count = blocks_for(s.tokens.size() + n);
    const std::size_t more = count > s.blocks.size() ? count - s.blocks.size() : 0;
    const std::size_t at = s.tokens.size() / block_tokens_;
    const bool partial = s.tokens.size() % block_tokens_ != 0;
    const bool copy = partial && (references(s.blocks[at]) != 1 || where_.count(s.blocks[at]) != 0);
    if (more + copy > free() + cached()) return false;
    take(s.blocks, more + copy);
    if (copy) {
      const auto old = s.blocks[at];
      s.blocks[at] = s.blocks.back();
      s.blocks.pop_back();
      give(old);
    }
    return true;
  }

  void publish(const model_sequence& s, std::size_t written) {
    if (!cache_) return;
    for (std::size_t n = 1; n <= written / block_tokens_; ++n) {
      const auto id = s.blocks[n - 1];
      if (where_.count(id) != 0) continue;
      auto& holders = holders_[prefix_of(s, n)];
      holders.insert(holders.empty() ? holders.end() : holders.begin() + 1, id);
      where_[id] = prefix_of(s, n);
    }
  }

  void keep(model_sequence& s, std::size_t blocks) {
    while (s.blocks.size() > blocks) {
      give(s.blocks.back());
      s.blocks.pop_back();
    }
  }

  model_sequence fork(const model_sequence& s) {
    model_sequence made = s;
    made.blocks.resize(blocks_for(s.tokens.size()));
    for (const auto id : made.blocks) hold(id);
    return made;
  }

  std::size_t evict(std::size_t n) {
    std::size_t gone = 0;
    for (; gone < n && !order_.empty(); ++gone) stack_.push_back(evict_one());
    return gone;
  }

  bool reset() {
    if (live() != 0) return false;
    evict(cached());
    stack_.clear();
    fresh_ = first_;
    return true;
  }

  bool take(ids& out, std::size_t n) {
    if (n > free() + cached()) return false;
    for (; n != 0; --n) {
      kv::block_id id = 0;
      if (!stack_.empty()) {
        id = stack_.back();
        stack_.pop_back();
      } else if (fresh_ != total_ + first_) {
        id = fresh_++;
      } else {
        id = evict_one();
      }
      references_[id] = 1;
      out.push_back(id);
    }
    return true;
  }

  void give(kv::block_id id) {
    if (--references_[id] != 0) return;
    references_.erase(id);
    if (where_.count(id) != 0) {
      order_.push_back(id);
    } else {
      stack_.push_back(id);
    }
  }

  std::size_t blocks_for(std::size_t tokens) const { return (tokens + block_tokens_ - 1) / block_tokens_; }

 private:
  prefix prefix_of(const model_sequence& s, std::size_t blocks) const {
    return {s.key, {s.tokens.begin(), s.tokens.begin() + static_cast<long>(blocks * block_tokens_)}};
  }

  void hold(kv::block_id id) {
    if (references_[id]++ == 0) order_.remove(id);
  }

  kv::block_id evict_one() {
    const auto id = order_.front();
    order_.pop_front();
    auto& holders = holders_[where_[id]];
    holders.erase(std::find(holders.begin(), holders.end(), id));
    if (holders.empty()) holders_.erase(where_[id]);
    where_.erase(id);
    return id;
  }

  std::size_t total_;
  std::size_t block_tokens_;
  bool cache_;
  kv::block_id first_;
  kv::block_id fresh_;
  ids stack_;
  std::list<kv::block_id> order_;
  std::map<kv::block_id, std::size_t> references_;
  std::map<prefix, ids> holders_;
  std::map<kv::block_id, prefix> where_;
};

}  // namespace kit
