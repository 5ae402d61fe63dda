#include <kv/oracle.hpp>

#include <support/catch.hpp>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <kv/event_kit.hpp>
#include <tokenheap/kv/hash_chain.hpp>
#include <tokenheap/source/host.hpp>

// random requests against the model: every id, every hit, every count, and every number that was written into a block;
// and what pools tell, against their index

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

// rings so short that readers fall behind all the time
using telling_tree = kit::telling<kv::radix_index<>, 1024>;
using telling_chain = kit::telling<kv::hash_chain_index<>, 1024>;
// and long ones, which lose nothing
using telling_tree_long = kit::telling<kv::radix_index<>, tokenheap::MiB>;
using telling_crowd = kit::telling<kv::radix_index<two_buckets>, 4096>;

struct trial_shape {
  std::size_t sequences = 24;
  std::size_t least_blocks = 4;
  std::size_t most_blocks = 40;
  std::size_t check_every = 1;  // steps from one look at everything to the next; what a step touches is always looked at
  bool always_cache = false;
  std::size_t closes = 0;  // steps of 12 that close a request, besides the usual one
};

template <class Policy>
class trial {
 public:
  using pool_type = kv::block_pool<Policy>;
  using sequence = kv::sequence<pool_type>;
  static constexpr bool tells = kv::hears_of_publishing<typename Policy::events, typename Policy::prefixes>;

  explicit trial(std::uint32_t seed, const trial_shape& shape = {})
      : random_(seed),
        shape_(shape),
        block_tokens_(pick(1, 4)),
        cache_(pick(0, 7) != 0 || shape.always_cache),
        null_block_(pick(0, 1) == 1),
        blocks_(pick(shape.least_blocks, shape.most_blocks)),
        model_(blocks_, block_tokens_, cache_, null_block_),
        pool_(open_pool()) {
    if (tells) {
      feed_.emplace(kit::feed_of(256));
      mirror_.emplace(kit::mirror_of(blocks_, block_tokens_, seed));
      listens_ = pick(0, 1) == 0 ? 7 : 199;
    }
  }

  void step() {
    act();
    ++steps_;
    if (running_.size() > most_running_) most_running_ = running_.size();
    compare_counts();
    if (steps_ % shape_.check_every == 0) compare();
    if constexpr (tells) {
      if (pick(0, listens_) == 0) listen();
    }
  }

  void finish() {
    if constexpr (tells) listen();
    while (!running_.empty()) close();
    compare();
    if constexpr (tells) listen();
    REQUIRE(pool_.stats().live == 0);
    REQUIRE(pool_.reset() == errc::ok);
    REQUIRE(pool_.stats().free == blocks_);
    REQUIRE(pool_.is_valid());
    if constexpr (tells) listen();
  }

  std::size_t most_running() const { return most_running_; }
  std::size_t evictions() const { return pool_.stats().evictions; }
  std::size_t snapshots() const { return snapshots_; }
  std::size_t heard() const { return heard_; }

 private:
  struct request {
    sequence real;
    kit::model_sequence model;
  };

  void act() {
    if (shape_.closes != 0 && pick(0, 11) < shape_.closes) return close();
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
  }

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

  // what an engine would compute for each token: a number that depends on all before it
  static std::uint32_t computed(const std::string& key) {
    std::uint32_t mixed = 2166136261U;
    for (const char c : key) mixed = (mixed ^ static_cast<unsigned char>(c)) * 16777619U;
    return mixed;
  }
  static void compute_on(std::uint32_t& mixed, kv::token t) { mixed = (mixed ^ t) * 16777619U; }
  void* slot(kv::block_id id, std::size_t at) { return tokenheap::offset(pool_.data(id), at % block_tokens_ * 4); }
  void write(const kit::model_sequence& s, std::size_t from) {
    std::uint32_t number = computed(s.key);
    for (std::size_t at = 0; at < s.tokens.size(); ++at) {
      compute_on(number, s.tokens[at]);
      if (at >= from) std::memcpy(slot(s.blocks[at / block_tokens_], at), &number, 4);
    }
  }

  void open() {
    if (running_.size() >= shape_.sequences) close();
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
    REQUIRE(kit::ids_of(*real) == wanted.blocks);
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
    REQUIRE(kit::ids_of(r->real) == r->model.blocks);
    write(r->model, before);
  }

  void grow() {
    request* const r = some();
    if (r == nullptr) return;
    const std::size_t n = pick(0, 2 * block_tokens_);
    const bool expected = model_.grow(r->model, n);
    REQUIRE((r->real.grow(n) == errc::ok) == expected);
    REQUIRE(kit::ids_of(r->real) == r->model.blocks);
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
    REQUIRE(kit::ids_of(r->real) == r->model.blocks);
  }

  void fork() {
    request* const r = some();
    if (r == nullptr || running_.size() >= shape_.sequences) return;
    auto real = r->real.fork();
    REQUIRE(real);
    auto twin = model_.fork(r->model);
    REQUIRE(kit::ids_of(*real) == twin.blocks);
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

  void compare_counts() {
    const auto now = pool_.stats();
    REQUIRE(now.free == model_.free());
    REQUIRE(now.cached == model_.cached());
    REQUIRE(now.live == model_.live());
    REQUIRE(now.published == model_.published());
    REQUIRE(now.free + now.cached + now.live == blocks_);
  }

  void compare() {
    compare_counts();
    REQUIRE(pool_.is_valid());
    for (const auto& r : running_) {
      REQUIRE(kit::ids_of(r.real) == r.model.blocks);
      REQUIRE(r.real.length() == r.model.tokens.size());
      for (const auto id : r.model.blocks) REQUIRE(pool_.references(id) == model_.references(id));
      std::uint32_t expected = computed(r.model.key);
      for (std::size_t at = 0; at < r.model.tokens.size(); ++at) {
        std::uint32_t number = 0;
        std::memcpy(&number, slot(r.model.blocks[at / block_tokens_], at), 4);
        compute_on(expected, r.model.tokens[at]);
        REQUIRE(number == expected);
      }
    }
  }

  // a router reads what is new, and then knows exactly what the index knows
  void listen() {
    const std::uint64_t before = feed_->next();
    snapshots_ += kit::follow(*feed_, pool_, *mirror_);
    heard_ += feed_->next() - before;
    REQUIRE(mirror_->is_valid());
    REQUIRE(mirror_->next() == feed_->next());
    REQUIRE(kit::held_by(*mirror_, block_tokens_) == kit::findable(pool_, blocks_ + null_block_));
    for (const char* text : {"", "a", "b"}) {
      const std::string salt = text;
      const kv::prefix_key key = kit::salted(salt);
      kv::hash128 root = kv::event_mirror::root_of(0);
      if (!salt.empty()) pool_.with_events([&](const auto& stream, const auto&) { root = stream.name_of(key); });
      const auto prompt = random_tokens(4 * block_tokens_ + 3);
      REQUIRE(mirror_->match(root, prompt) == pool_.match(prompt, key));
    }
  }

  std::mt19937 random_;
  trial_shape shape_;
  tokenheap::host_source heap_;
  std::size_t block_tokens_;
  bool cache_;
  bool null_block_;
  std::size_t blocks_;
  kit::model_pool model_;
  pool_type pool_;
  std::vector<request> running_;
  std::optional<kv::event_feed> feed_;
  std::optional<kv::event_mirror> mirror_;
  std::size_t steps_ = 0, most_running_ = 0, snapshots_ = 0, listens_ = 0;
  std::uint64_t heard_ = 0;
};

bool is_long() { return std::getenv("TOKENHEAP_TEST_LONG") != nullptr; }

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

TEMPLATE_TEST_CASE("after every random run a router knows what the index knows, whatever it missed", "[kv][oracle]",
                   telling_tree, telling_chain, telling_tree_long, telling_crowd) {
  std::size_t snapshots = 0;
  std::uint64_t heard = 0;
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    trial<TestType> run(seed, {.check_every = 16, .closes = 2});
    for (int at = 0; at < 4000; ++at) {
      CAPTURE(at);
      run.step();
    }
    run.finish();
    snapshots += run.snapshots();
    heard += run.heard();
  }
  CHECK(heard > 10'000);
  // the first poll of each run, and then every gap
  if (TestType::events::ring_bytes == 1024) CHECK(snapshots > 200);
  if (TestType::events::ring_bytes > 65536) CHECK(snapshots == 40);
}

// TOKENHEAP_TEST_LONG=1 makes it 10 million operations for each index
TEMPLATE_TEST_CASE("64 sequences at once do what the model says", "[kv][oracle]", telling_tree_long, telling_chain) {
  const std::size_t seeds = is_long() ? 100 : 2;
  const std::size_t steps = is_long() ? 100'000 : 10'000;
  for (std::uint32_t seed = 1; seed <= seeds; ++seed) {
    CAPTURE(seed);
    trial<TestType> run(seed, {.sequences = 64, .least_blocks = 300, .most_blocks = 700, .check_every = 1024,
                               .always_cache = true});
    for (std::size_t at = 0; at != steps; ++at) run.step();
    run.finish();
    REQUIRE(run.most_running() == 64);
    REQUIRE(run.evictions() > steps / 100);
  }
}
