// Which pools there are: they register, and whoever wants to know asks all of them at once.
#pragma once

#include <sched.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <vector>

#include <tokenheap/concepts/policy.hpp>
#include <tokenheap/concepts/source.hpp>
#include <tokenheap/observe/pool_reading.hpp>
#include <tokenheap/observe/process_registry.hpp>
#include <tokenheap/observe/refusal_counts.hpp>
#include <tokenheap/policy/none.hpp>

namespace tokenheap {
inline namespace v0 {

/// Can say what it holds: somebody wrote `read_pool(pool, reading)` for it, noexcept.
///
/// For the library's own types include `observe/reading_of.hpp` (allocators and columns) or `observe/reading_of_kv.hpp`.
template <class T>
concept readable = requires(T& pool, pool_reading& into) {
  { read_pool(pool, into) } noexcept;
};

/// True for a type whose numbers may be read only while nobody else uses it; specialise it for types of your own.
template <class T>
inline constexpr bool reads_alone = false;

/// A latency histogram, and the name of the call that it is of.
struct latency_source {
  const char* op = "";
  const latency_histogram* of = nullptr;
};

/// What a pool is called, and what else belongs to it. Texts are copied; the counters must outlive the registration.
struct registration_options {
  const char* pool = nullptr;    ///< null: what the pool says, `name()`
  const char* owner = "";        ///< the model, the tenant, the part of the engine
  const char* space = nullptr;   ///< null: what the type says: host, pinned, device, offset
  const char* device = nullptr;  ///< null: what the pool says, the ordinal of its device
  std::uint64_t limit_bytes = not_counted;  ///< for a pool that cannot say its limit
  const refusal_counts* refusals = nullptr;
  std::array<latency_source, 4> latencies{};
};

/// One registered pool in its list; a `registration` is one, and nobody else makes them.
class registry_entry {
 public:
  registry_entry(const registry_entry&) = delete;
  registry_entry& operator=(const registry_entry&) = delete;

 protected:
  registry_entry() noexcept = default;
  ~registry_entry() = default;

 private:
  friend class registry;

  using reader = void (*)(void* pool, void* lock, pool_reading& into) noexcept;

  void read(pool_reading& into) const noexcept {
    into.pool = pool_, into.owner = owner_, into.space = space_, into.device = device_;
    read_(object_, lock_, into);
    if (limit_ != not_counted) into.bytes.limit = limit_;
    if (refusals_ != nullptr) {
      for (std::size_t k = 1; k != refusal_counts::codes; ++k) {
        const auto code = static_cast<errc>(k);
        // what an engine hardly ever meets is left out until it does
        const bool common = code == errc::out_of_memory || code == errc::limit_reached || code == errc::too_large;
        if (const std::uint64_t n = refusals_->of(code); common || n != 0) into.failures.add(to_label(code), n);
      }
    }
    for (const latency_source& from : latencies_)
      if (from.of != nullptr) into.latencies.push_back({from.op, from.of->read()});
  }

  registry_entry* before_ = nullptr;
  registry_entry* after_ = nullptr;
  std::size_t readers_ = 0;  // under the list's lock

  void* object_ = nullptr;
  void* lock_ = nullptr;
  reader read_ = nullptr;
  std::string pool_, owner_, space_, device_;
  std::uint64_t limit_ = not_counted;
  const refusal_counts* refusals_ = nullptr;
  std::array<latency_source, 4> latencies_{};

  friend class registration;
};

/// All pools of a process, or of a test: a view of a list that `registration`s put themselves into.
///
/// A snapshot holds the list's lock for as long as it takes to copy the addresses of the entries. Then it reads one pool
/// after the other, each under that pool's own lock for the time of its `stats()`: the numbers of one pool are of one
/// moment, those of two pools are not. Pools pay nothing for being registered.
///
/// Threads   safe
/// Cost      under 1 us for a pool; memory for the answer
/// Example   examples/metrics.cpp
class registry {
 public:
  explicit registry(registry_head& list = process_registry()) noexcept : list_(&list) {}

  [[nodiscard]] std::size_t size() const noexcept {
    const locked hold(list_->lock);
    return list_->size;
  }

  /// What every pool says now, in the order in which they registered.
  [[nodiscard]] std::vector<pool_reading> snapshot() const noexcept {
    const std::vector<registry_entry*> all = hold_all();
    std::vector<pool_reading> readings(all.size());
    for (std::size_t k = 0; k != all.size(); ++k) {
      all[k]->read(readings[k]);
      release(*all[k]);
    }
    return readings;
  }

 private:
  friend class registration;

  [[nodiscard]] std::vector<registry_entry*> hold_all() const noexcept {
    std::vector<registry_entry*> all;
    for (std::size_t room = size();; room *= 2) {
      all.reserve(room);  // without the lock
      const locked hold(list_->lock);
      if (list_->size > all.capacity()) {
        room = list_->size;
        continue;
      }
      for (registry_entry* e = list_->first; e != nullptr; e = e->after_) {
        ++e->readers_;
        all.push_back(e);
      }
      return all;
    }
  }
  void release(registry_entry& e) const noexcept {
    const locked hold(list_->lock);
    --e.readers_;
  }

  void add(registry_entry& e) const noexcept {
    const locked hold(list_->lock);
    e.before_ = list_->last;
    (list_->last != nullptr ? list_->last->after_ : list_->first) = &e;
    list_->last = &e;
    ++list_->size;
  }
  /// Takes an entry out, and waits until nobody reads it.
  void remove(registry_entry& e) const noexcept {
    {
      const locked hold(list_->lock);
      (e.before_ != nullptr ? e.before_->after_ : list_->first) = e.after_;
      (e.after_ != nullptr ? e.after_->before_ : list_->last) = e.before_;
      --list_->size;
    }
    while (is_read(e)) ::sched_yield();
  }
  [[nodiscard]] bool is_read(const registry_entry& e) const noexcept {
    const locked hold(list_->lock);
    return e.readers_ != 0;
  }

  registry_head* list_;
};

namespace detail {

template <class Space>
[[nodiscard]] constexpr const char* space_text() noexcept {
  if constexpr (std::same_as<Space, offset_space>) return "offset";
  if constexpr (Space::cpu_accessible) return Space::device_accessible ? "pinned" : "host";
  return Space::device_accessible ? "device" : "offset";
}

template <class T>
[[nodiscard]] const char* space_of() noexcept {
  if constexpr (names_its_space<T>) {
    return space_text<typename T::space>();
  } else {
    return "";
  }
}

template <class T>
[[nodiscard]] std::string name_of(const T& pool) {
  if constexpr (requires { { pool.name() } -> std::convertible_to<const char*>; }) {
    const char* const text = pool.name();
    return text == nullptr ? "" : text;
  } else if constexpr (requires { { pool.pool().name() } -> std::convertible_to<const char*>; }) {
    return pool.pool().name();
  } else {
    return "";
  }
}

template <class T>
[[nodiscard]] std::string device_of(const T& pool) {
  if constexpr (requires { { pool.device().ordinal() } -> std::convertible_to<int>; }) {
    return std::to_string(pool.device().ordinal());
  } else {
    return "";
  }
}

}  // namespace detail

/// Keeps a pool in the registry for as long as it lives: declare it behind the pool.
///
/// A pool that one thread at a time may use needs the lock that guards it; where one thread does everything, a `no_lock`.
///
/// Requires  a pool that stays where it is and outlives the registration; no lock held at the end that reading takes
/// Threads   safe; its end waits for a snapshot that is reading this very pool
/// Cost      four texts; nothing for each use of the pool
/// Example   examples/metrics.cpp
class [[nodiscard]] registration : private registry_entry {
 public:
  template <readable T>
  explicit registration(T& pool, const registration_options& with = {}, registry in = registry()) noexcept : in_(in) {
    static_assert(!reads_alone<T>, "this pool is not thread-safe: give the lock that guards it, or a no_lock");
    read_ = [](void* object, void*, pool_reading& into) noexcept { read_pool(*static_cast<T*>(object), into); };
    start(pool, with);
  }
  template <readable T, lockable Lock>
  registration(T& pool, Lock& lock, const registration_options& with = {}, registry in = registry()) noexcept : in_(in) {
    lock_ = &lock;
    read_ = [](void* object, void* guard, pool_reading& into) noexcept {
      const locked hold(*static_cast<Lock*>(guard));
      read_pool(*static_cast<T*>(object), into);
    };
    start(pool, with);
  }
  ~registration() { in_.remove(*this); }

 private:
  template <class T>
  void start(T& pool, const registration_options& with) noexcept {
    object_ = &pool;
    pool_ = with.pool != nullptr ? with.pool : detail::name_of(pool);
    owner_ = with.owner != nullptr ? with.owner : "";
    space_ = with.space != nullptr ? with.space : detail::space_of<T>();
    device_ = with.device != nullptr ? with.device : detail::device_of(pool);
    limit_ = with.limit_bytes;
    refusals_ = with.refusals;
    latencies_ = with.latencies;
    in_.add(*this);
  }

  registry in_;
};

}  // namespace v0
}  // namespace tokenheap
