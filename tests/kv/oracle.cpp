#include <kv/oracle.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <tokenheap/kv/hash_chain.hpp>
#include <tokenheap/source/host.hpp>

// random requests against the model: every id, every hit, every count, and every number that was written into a block

namespace kv = tokenheap::kv;
using tokenheap::errc;

namespace {

// the hash of a policy decides nothing but speed, so both must agree with the model
struct two_buckets {
  std::uint64_t operator()(const kv::token* tokens, std::size_t, std::uint64_t) const noexcept {
    return std::uint64_t{tokens[0] & 1U} << 63;
  }
};
struct crowded : kv::default_policy {
  using prefixes = kv::radix_index<two_buckets>;
};
struct chained : kv::default_policy {
  using prefixes = kv::hash_chain_index<>;
};
// every prefix has the same name
struct one_name : kv::sip128 {
  static one_name open(const void*, std::size_t) noexcept { return {}; }
  kv::hash128 root(const void*, std::size_t) const noexcept { return {}; }
  kv::hash128 operator()(kv::hash128, const kv::token*, std::size_t) const noexcept { return {}; }
};
struct nameless : kv::default_policy {
  using prefixes = kv::hash_chain_index<one_name>;
};

template <class Policy>
class trial {
 public:
  using pool_type = kv::block_pool<Policy>;
  using sequence = kv::sequence<pool_type>;

  trial(std::uint32_t seed)
      : random_(seed),
        block_tokens_(pick(1, 4)),
        cache_(pick(0, 7) != 0),
        null_block_(pick(0, 1) == 1),
        blocks_(pick(4, 40)),
        model_(blocks_, block_tokens_, cache_, null_block_),
        pool_(open_pool()) {}

  void step() {
    switch (pick(0, 11)) {
      case 0: case 1: case 2: open(); break;
      case 3: case 4: append(); break;
      case 5: grow(); break;
      case 6: case 7: publish(); break;
      case 8: rewind(); break;
      case 9: fork(); break;
      case 10: close(); break;
      default: rare(); break;
    }
    compare();
  }

  void finish() {
    while (!running_.empty()) close();
    compare();
    REQUIRE(pool_.stats().live == 0);
    REQUIRE(pool_.reset() == errc::ok);
    REQUIRE(pool_.stats().free == blocks_);
    REQUIRE(pool_.is_valid());
  }

 private:
  struct request {
    sequence real;
    kit::model_sequence model;
  };

  std::size_t pick(std::size_t low, std::size_t high) {
    return std::uniform_int_distribution<std::size_t>(low, high)(random_);
  }

  pool_type open_pool() {
    auto made = pool_type::open({.blocks = blocks_, .block_tokens = block_tokens_, .null_block = null_block_,
                                 .cache = cache_, .seed = random_()},
                                kv::layout{.layers = 1, .kv_heads = 1, .head_size = 1, .type = kv::dtype::float32,
                                           .block_tokens = block_tokens_, .planes = 1},
                                heap_);
    REQUIRE(made);
    return static_cast<pool_type&&>(*made);
  }

  // few tokens and few beginnings, so that prompts meet and part at every place
  std::vector<kv::token> random_tokens(std::size_t most) {
    std::vector<kv::token> made(pick(0, most));
    const auto kinds = pick(1, 3);
    for (auto& t : made) t = static_cast<kv::token>(pick(1, kinds));
    return made;
  }

  // what an engine would compute for the last of these tokens: a number that depends on all of them
  static std::uint32_t computed(const kit::model_sequence& s, std::size_t upto) {
    std::uint32_t mixed = 2166136261U;
    for (const char c : s.key) mixed = (mixed ^ static_cast<unsigned char>(c)) * 16777619U;
    for (std::size_t at = 0; at <= upto; ++at) mixed = (mixed ^ s.tokens[at]) * 16777619U;
    return mixed;
  }
  void* slot(kv::block_id id, std::size_t at) { return tokenheap::offset(pool_.data(id), at % block_tokens_ * 4); }
  void write(const kit::model_sequence& s, std::size_t from) {
    for (std::size_t at = from; at < s.tokens.size(); ++at) {
      const std::uint32_t number = computed(s, at);
      std::memcpy(slot(s.blocks[at / block_tokens_], at), &number, 4);
    }
  }

  void open() {
    kit::model_sequence wanted;
    const std::string keys[] = {"", "a", "b"};
    wanted.key = keys[pick(0, 2)];
    wanted.tokens = random_tokens(4 * block_tokens_ + 3);
    const std::size_t lookahead = pick(0, 5) == 0 ? pick(1, 5) : 0;
    const bool read = pick(0, 5) != 0;
    const bool recompute = pick(0, 3) != 0;
    auto real = sequence::open(pool_, wanted.tokens,
                               {.key = kit::salted(wanted.key), .read_cache = read, .recompute_last = recompute,
                                .lookahead = lookahead});
    const bool expected = model_.open(wanted, lookahead, read, recompute);
    REQUIRE(static_cast<bool>(real) == expected);
    if (!expected) return;
    REQUIRE(real->cached_tokens() == wanted.cached);
    write(wanted, wanted.cached);
    running_.push_back({static_cast<sequence&&>(*real), wanted});
  }

  request* some() { return running_.empty() ? nullptr : &running_[pick(0, running_.size() - 1)]; }

  void append() {
    request* const r = some();
    if (r == nullptr) return;
    const auto more = random_tokens(2 * block_tokens_);
    const bool expected = model_.grow(r->model, more.size());
    REQUIRE((r->real.append(more) == errc::ok) == expected);
    if (!expected) return;
    const std::size_t before = r->model.tokens.size();
    r->model.tokens.insert(r->model.tokens.end(), more.begin(), more.end());
    write(r->model, before);
  }

  void grow() {
    request* const r = some();
    if (r == nullptr) return;
    const std::size_t n = pick(0, 2 * block_tokens_);
    const bool expected = model_.grow(r->model, n);
    REQUIRE((r->real.grow(n) == errc::ok) == expected);
  }

  void publish() {
    request* const r = some();
    if (r == nullptr) return;
    const std::size_t written = pick(0, r->model.tokens.size());
    REQUIRE(r->real.publish(written) == errc::ok);
    model_.publish(r->model, written);
  }

  void rewind() {
    request* const r = some();
    if (r == nullptr) return;
    const std::size_t n = pick(0, r->model.tokens.size());
    REQUIRE(r->real.rewind(n) == errc::ok);
    r->model.tokens.resize(r->model.tokens.size() - n);
    model_.keep(r->model, model_.blocks_for(r->model.tokens.size()));
  }

  void fork() {
    request* const r = some();
    if (r == nullptr || running_.size() > 12) return;
    auto real = r->real.fork();
    REQUIRE(real);
    auto twin = model_.fork(r->model);
    running_.push_back({static_cast<sequence&&>(*real), twin});
  }

  void close() {
    if (running_.empty()) return;
    const std::size_t which = pick(0, running_.size() - 1);
    REQUIRE(running_[which].real.close() == errc::ok);
    model_.keep(running_[which].model, 0);
    if (which != running_.size() - 1) running_[which] = static_cast<request&&>(running_.back());
    running_.pop_back();
  }

  void rare() {
    if (pick(0, 3) == 0) {
      REQUIRE((pool_.reset() == errc::ok) == model_.reset());
    } else if (pick(0, 1) == 0) {
      const std::size_t n = pick(0, 3);
      REQUIRE(pool_.evict(n) == model_.evict(n));
    } else {
      kit::ids expected;
      const std::size_t n = pick(0, 6);
      kit::ids out(n);
      const bool room = model_.take(expected, n);
      REQUIRE((pool_.allocate(out) == errc::ok) == room);
      if (!room) return;
      REQUIRE(out == expected);
      REQUIRE(pool_.deallocate(out) == errc::ok);
      for (std::size_t at = n; at != 0; --at) model_.give(out[at - 1]);
    }
  }

  void compare() {
    const auto now = pool_.stats();
    REQUIRE(now.free == model_.free());
    REQUIRE(now.cached == model_.cached());
    REQUIRE(now.live == model_.live());
    REQUIRE(now.published == model_.published());
    REQUIRE(now.free + now.cached + now.live + now.in_flight == blocks_);
    REQUIRE(pool_.is_valid());
    for (const auto& r : running_) {
      REQUIRE(kit::ids_of(r.real) == r.model.blocks);
      REQUIRE(r.real.length() == r.model.tokens.size());
      for (const auto id : r.model.blocks) REQUIRE(pool_.references(id) == model_.references(id));
      for (std::size_t at = 0; at < r.model.tokens.size(); ++at) {
        std::uint32_t number = 0;
        std::memcpy(&number, slot(r.model.blocks[at / block_tokens_], at), 4);
        REQUIRE(number == computed(r.model, at));
      }
    }
  }

  std::mt19937 random_;
  tokenheap::host_source heap_;
  std::size_t block_tokens_;
  bool cache_;
  bool null_block_;
  std::size_t blocks_;
  kit::model_pool model_;
  pool_type pool_;
  std::vector<request> running_;
};

}  // namespace

TEMPLATE_TEST_CASE("random requests do what the model says", "[kv][oracle]", kv::default_policy, crowded,
                   chained, nameless) {
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    trial<TestType> run(seed);
    for (int at = 0; at < 300; ++at) {
      CAPTURE(at);
      run.step();
    }
    run.finish();
  }
}
