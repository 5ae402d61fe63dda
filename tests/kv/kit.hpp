// What the tests of the KV floor share: tokens, pools of ids, and a record of what was reported.
#pragma once

#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include <support/catch.hpp>
#include <tokenheap/kv/sequence.hpp>

namespace kit {

namespace kv = tokenheap::kv;
using tokenheap::errc;
using pool_type = kv::block_pool<>;
using sequence = kv::sequence<pool_type>;

/// n tokens counting up from `first`.
inline std::vector<kv::token> count_up(std::size_t n, kv::token first = 0) {
  std::vector<kv::token> made(n);
  std::iota(made.begin(), made.end(), first);
  return made;
}

inline std::vector<kv::token> joined(std::vector<kv::token> a, const std::vector<kv::token>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// A key over the bytes of `salt`, which must outlive it.
inline kv::prefix_key salted(const std::string& salt, std::uint64_t adapter = 0) {
  return {salt.data(), salt.size(), adapter};
}

template <class Sequence>
std::vector<kv::block_id> ids_of(const Sequence& s) {
  return {s.blocks().begin(), s.blocks().end()};
}

using ids = std::vector<kv::block_id>;

/// Opens a pool of ids, or ends the test program where that fails.
template <class Pool = kv::block_pool<>>
Pool pool_of(std::size_t blocks, std::size_t block_tokens, bool cache = true, bool null_block = false) {
  auto made = Pool::open({.blocks = blocks, .block_tokens = block_tokens, .null_block = null_block, .cache = cache});
  return static_cast<Pool&&>(*made);
}

template <class Pool>
kv::sequence<Pool> opened(Pool& pool, const std::vector<kv::token>& prompt, const kv::sequence_options& with = {}) {
  auto made = kv::sequence<Pool>::open(pool, prompt, with);
  REQUIRE(made);
  return static_cast<kv::sequence<Pool>&&>(*made);
}

/// Writes down the last misuse instead of printing it, as long as it lives.
class recorder {
 public:
  recorder() : before_(tokenheap::set_failure_handler(&record)) { count() = 0; }
  ~recorder() { tokenheap::set_failure_handler(before_); }
  recorder(const recorder&) = delete;
  recorder& operator=(const recorder&) = delete;

  static int& count() { static int n = 0; return n; }
  static tokenheap::failure& last() { static tokenheap::failure f; return f; }

 private:
  static void record(const tokenheap::failure& f) noexcept {
    ++count();
    last() = f;
  }
  tokenheap::failure_handler before_;
};

}  // namespace kit
