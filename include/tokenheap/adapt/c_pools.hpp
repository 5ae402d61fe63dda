// The KV pools and sequences behind the C interface: four types of the library behind one set of calls.
#pragma once

#include <optional>
#include <span>

#include <tokenheap/adapt/c_kv.h>
#include <tokenheap/adapt/c_sources.hpp>
#include <tokenheap/kv/event_feed.hpp>
#include <tokenheap/kv/events.hpp>
#include <tokenheap/kv/hash_chain.hpp>
#include <tokenheap/kv/sequence.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// The choices of a pool of C: safe for threads, misuse to `th_last_error`, steps that hold blocks back.
template <bool Chain, bool Told>
struct c_pool_policy : kv::default_policy {
  using lock = mutex_lock;
  using guard = c_misuse;
  using prefixes = std::conditional_t<Chain, kv::hash_chain_index<>, kv::radix_index<>>;
  using events = std::conditional_t<Told, kv::event_stream<kv::event_shape{.bytes = MiB}>, kv::no_events>;
  using fence = kv::step_fence;
};

class c_sequence;

/// A KV pool for C, whatever its index is and whether it tells events.
///
/// Threads   safe
class c_pool : public c_object {
 public:
  static constexpr c_kind kind = c_kind::pool;
  static constexpr const char* what = "a KV pool";

  c_pool(const th_pool_options& with, c_source* source) noexcept
      : name_(with.name, "kv"), copy_(with.copy), copy_user_(with.copy_user), seed_(with.seed),
        ids_(with.blocks + (with.null_block != 0 ? 1 : 0)), source_(source) {
    if (source_ != nullptr) source_->users.fetch_add(1, std::memory_order_relaxed);
  }
  ~c_pool() override {
    if (source_ != nullptr) source_->users.fetch_sub(1, std::memory_order_release);
  }

  /// Opens the pool itself; called once.
  [[nodiscard]] virtual failure open(const th_pool_options& with) noexcept = 0;
  [[nodiscard]] virtual errc allocate(std::span<kv::block_id> out) noexcept = 0;
  virtual errc deallocate(std::span<const kv::block_id> ids) noexcept = 0;
  [[nodiscard]] virtual std::size_t match(std::span<const kv::token> prompt, const kv::prefix_key& key) const noexcept = 0;
  [[nodiscard]] virtual kv::admission would_fit(std::span<const kv::token> prompt,
                                                const kv::sequence_options& with) const noexcept = 0;
  [[nodiscard]] virtual kv::admission last_refusal() const noexcept = 0;
  [[nodiscard]] virtual c_sequence* open_sequence(std::span<const kv::token> prompt, const kv::sequence_options& with,
                                                  failure& why) noexcept = 0;
  virtual std::size_t evict(std::size_t n) noexcept = 0;
  [[nodiscard]] virtual errc reset() noexcept = 0;
  [[nodiscard]] virtual std::uint64_t begin_step() noexcept = 0;
  [[nodiscard]] virtual errc settle(std::uint64_t step) noexcept = 0;
  [[nodiscard]] virtual kv::pool_stats stats() const noexcept = 0;
  [[nodiscard]] virtual void* data(kv::block_id id) const noexcept = 0;
  [[nodiscard]] virtual std::size_t block_tokens() const noexcept = 0;
  [[nodiscard]] virtual std::size_t dump(char* out, std::size_t room) const noexcept = 0;
  [[nodiscard]] virtual bool is_valid() const noexcept = 0;
  [[nodiscard]] virtual bool tells_events() const noexcept = 0;
  [[nodiscard]] virtual kv::feed_answer poll(kv::event_feed& feed) noexcept = 0;

  [[nodiscard]] const char* name() const noexcept { return name_.text; }
  /// All ids are below it, that of the null block included.
  [[nodiscard]] std::size_t ids() const noexcept { return ids_; }
  /// What names blocks, in this pool and in tiers.
  [[nodiscard]] kv::sip128 naming() const noexcept { return kv::sip128::open(&seed_, sizeof seed_); }

 protected:
  [[nodiscard]] kv::pool_options options_of(const th_pool_options& with) noexcept {
    kv::pool_options out;
    out.blocks = with.blocks;
    out.block_tokens = with.block_tokens == 0 ? 16 : with.block_tokens;
    out.null_block = with.null_block != 0;
    out.cache = with.no_cache == 0;
    out.watermark = with.watermark;
    out.name = name_.text;
    out.seed = with.seed;
    if (copy_ != nullptr) out.copy = {&run_copy, this};
    return out;
  }
  /// A block as bytes of its tokens: what a pool must know of it to find and copy it.
  [[nodiscard]] static kv::layout layout_of(std::size_t block_bytes, std::size_t block_tokens) noexcept {
    return {.layers = 1, .kv_heads = 1, .head_size = block_bytes / block_tokens, .type = kv::dtype::int8,
            .block_tokens = block_tokens, .planes = 1};
  }
  [[nodiscard]] c_source* source() const noexcept { return source_; }

 private:
  static void run_copy(void* self, kv::block_id from, kv::block_id to) noexcept {
    const auto& me = *static_cast<const c_pool*>(self);
    static_cast<void>(c_call([&] { return me.copy_(me.copy_user_, from, to), 0; }, 0));
  }

  c_name name_;
  th_copy_call copy_;
  void* copy_user_;
  std::uint64_t seed_;
  std::size_t ids_;
  c_source* source_;
};

/// The blocks of one request for C.
///
/// Threads   one at a time
class c_sequence : public c_object {
 public:
  static constexpr c_kind kind = c_kind::sequence;
  static constexpr const char* what = "a sequence";

  explicit c_sequence(c_pool& over) noexcept : pool(over) { pool.users.fetch_add(1, std::memory_order_relaxed); }
  ~c_sequence() override { pool.users.fetch_sub(1, std::memory_order_release); }

  [[nodiscard]] virtual errc grow(std::size_t n) noexcept = 0;
  [[nodiscard]] virtual errc append(std::span<const kv::token> tokens) noexcept = 0;
  [[nodiscard]] virtual errc publish(std::size_t written) noexcept = 0;
  [[nodiscard]] virtual errc rewind(std::size_t n) noexcept = 0;
  [[nodiscard]] virtual c_sequence* fork(failure& why) noexcept = 0;
  [[nodiscard]] virtual std::span<const kv::block_id> blocks() const noexcept = 0;
  [[nodiscard]] virtual th_sequence_stats stats() const noexcept = 0;

  c_pool& pool;
};

/// A sequence of a pool of one policy.
template <class Pool>
class c_sequence_of final : public c_sequence {
 public:
  using held = kv::sequence<Pool>;

  c_sequence_of(c_pool& over, held&& opened) noexcept : c_sequence(over), held_(static_cast<held&&>(opened)) {}

  /// The object around an opened sequence, or null and why.
  [[nodiscard]] static c_sequence* make(c_pool& over, result<held>&& opened, failure& why) noexcept {
    why = opened.why();
    if (!opened) return nullptr;
    auto* const made = new (std::nothrow) c_sequence_of(over, static_cast<held&&>(*opened));
    if (made == nullptr) why = {.code = errc::out_of_memory, .pool = over.name(), .what = what, .fix = "free some memory"};
    return made;
  }

  [[nodiscard]] errc grow(std::size_t n) noexcept override { return held_.grow(n); }
  [[nodiscard]] errc append(std::span<const kv::token> tokens) noexcept override { return held_.append(tokens); }
  [[nodiscard]] errc publish(std::size_t written) noexcept override { return held_.publish(written); }
  [[nodiscard]] errc rewind(std::size_t n) noexcept override { return held_.rewind(n); }
  [[nodiscard]] c_sequence* fork(failure& why) noexcept override { return make(pool, held_.fork(), why); }
  [[nodiscard]] std::span<const kv::block_id> blocks() const noexcept override { return held_.blocks(); }
  [[nodiscard]] th_sequence_stats stats() const noexcept override {
    th_sequence_stats out{};
    out.tokens = held_.length();
    out.cached_tokens = held_.cached_tokens();
    out.published_tokens = held_.published_tokens();
    out.blocks = held_.blocks().size();
    return out;
  }

 private:
  held held_;
};

/// A pool of one policy.
template <bool Chain, bool Told>
class c_pool_of final : public c_pool {
 public:
  using held = kv::block_pool<c_pool_policy<Chain, Told>>;
  using c_pool::c_pool;

  [[nodiscard]] failure open(const th_pool_options& with) noexcept override {
    const kv::pool_options options = options_of(with);
    if (with.block_bytes == 0) return keep(held::open(options));
    const kv::layout shape = layout_of(with.block_bytes, options.block_tokens);
    if (source() != nullptr) return keep(held::open(options, shape, *source()));
    return keep(held::open(options, kv::tensor{.data = with.memory, .bytes = with.memory_bytes, .shape = shape,
                                               .cpu_accessible = with.memory_is_device == 0}));
  }
  [[nodiscard]] errc allocate(std::span<kv::block_id> out) noexcept override { return held_->allocate(out); }
  errc deallocate(std::span<const kv::block_id> ids) noexcept override { return held_->deallocate(ids); }
  [[nodiscard]] std::size_t match(std::span<const kv::token> prompt, const kv::prefix_key& key) const noexcept override {
    return held_->match(prompt, key);
  }
  [[nodiscard]] kv::admission would_fit(std::span<const kv::token> prompt,
                                        const kv::sequence_options& with) const noexcept override {
    return held_->would_fit(prompt, with);
  }
  [[nodiscard]] kv::admission last_refusal() const noexcept override { return held_->last_refusal(); }
  [[nodiscard]] c_sequence* open_sequence(std::span<const kv::token> prompt, const kv::sequence_options& with,
                                          failure& why) noexcept override {
    return c_sequence_of<held>::make(*this, kv::sequence<held>::open(*held_, prompt, with), why);
  }
  std::size_t evict(std::size_t n) noexcept override { return held_->evict(n); }
  [[nodiscard]] errc reset() noexcept override { return held_->reset(); }
  [[nodiscard]] std::uint64_t begin_step() noexcept override { return held_->begin_step(); }
  [[nodiscard]] errc settle(std::uint64_t step) noexcept override { return held_->settle(step); }
  [[nodiscard]] kv::pool_stats stats() const noexcept override { return held_->stats(); }
  [[nodiscard]] void* data(kv::block_id id) const noexcept override { return held_->data(id); }
  [[nodiscard]] std::size_t block_tokens() const noexcept override { return held_->block_tokens(); }
  [[nodiscard]] std::size_t dump(char* out, std::size_t room) const noexcept override { return held_->dump(out, room); }
  [[nodiscard]] bool is_valid() const noexcept override { return held_->is_valid(); }
  [[nodiscard]] bool tells_events() const noexcept override { return Told; }
  [[nodiscard]] kv::feed_answer poll(kv::event_feed& feed) noexcept override {
    if constexpr (Told) return feed.poll(*held_);
    return static_cast<void>(feed), kv::feed_answer::failed;
  }

 private:
  [[nodiscard]] failure keep(result<held>&& opened) noexcept {
    if (opened) held_.emplace(static_cast<held&&>(*opened));
    return opened.why();
  }

  std::optional<held> held_;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
