// Where prefixes begin: one root per salt and adapter, compared byte by byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/kv/block_hash.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What two requests must have in common, besides tokens, to share blocks.
///
/// `salt` is opaque bytes of any length: a user, a secret. `adapter` is the engine's number of a LoRA adapter or of
/// anything else that changes keys and values; 0 is none. `tenant` is who pays; `request` tells apart what nobody may
/// share, 0 is none. No salt and a salt of 0 bytes are the same.
struct prefix_key {
  const void* salt = nullptr;
  std::size_t salt_bytes = 0;
  std::uint64_t adapter = 0;
  tenant_id tenant = 0;
  std::uint64_t request = 0;
};

/// The name that a key gives to the prefixes under it: what the first block of a chain has for a parent.
///
/// It tells nothing of the salt to those who do not know the seed of the hash.
template <block_hash Hash>
[[nodiscard]] hash128 name_of_root(const Hash& hash, const prefix_key& key) noexcept {
  // the parts have fixed places and the salt is digested first, so that no two keys share these bytes
  const hash128 salt = hash.root(key.salt_bytes == 0 ? "" : key.salt, key.salt_bytes);
  const std::uint64_t parts[] = {key.adapter, key.tenant, key.request, key.salt_bytes, salt.low, salt.high};
  return hash.root(parts, sizeof parts);
}

/// Keeps one root for each key in use and forgets it when the last holder lets go.
///
/// The prefix index holds one; a root is held by the sequences opened under it and by its published blocks. Root 0 is
/// the one without a key and always there.
///
/// Fails     open and hold, for want of memory or for a salt that is null but has bytes; hold then returns `none`
/// Threads   not safe; the pool's lock covers it
/// Cost      one hash look-up per hold; memory for as many keys as are in use at once
class root_table {
 public:
  /// What hold returns when there is no memory; no root has it.
  static constexpr std::uint32_t none = 0x3fffffff;

  root_table() noexcept = default;
  root_table(root_table&& other) noexcept = default;
  root_table& operator=(root_table&& other) noexcept = default;
  ~root_table() {
    for (std::uint32_t at = 1; at < used_ && roots_.first() != nullptr; ++at) std::free(roots_[at].salt);
  }

  [[nodiscard]] bool open(std::uint64_t seed) noexcept {
    if (!roots_.open(8) || !buckets_.open(8)) return false;
    seed_ = seed;
    used_ = 1;
    roots_[0].holders = 1;
    return true;
  }

  [[nodiscard]] bool find(const prefix_key& key, std::uint32_t& out) const noexcept {
    out = 0;
    if (is_plain(key)) return true;
    if (is_broken(key)) return false;
    out = look_up(key, hash(key));
    return out != 0;
  }

  [[nodiscard]] std::uint32_t hold(const prefix_key& key) noexcept {
    if (is_plain(key)) return share(0), 0;
    if (is_broken(key)) return none;
    const std::uint64_t mixed = hash(key);
    if (const std::uint32_t at = look_up(key, mixed); at != 0) return share(at), at;
    return add(key, mixed);
  }
  void share(std::uint32_t at) noexcept { ++roots_[at].holders; }
  void let_go(std::uint32_t at) noexcept {
    if (--roots_[at].holders == 0) drop(at);
  }

  /// The key of a root that is held; the salt is the table's own copy.
  [[nodiscard]] prefix_key key_of(std::uint32_t at) const noexcept {
    const root& r = roots_[at];
    return {r.salt, r.salt_bytes, r.adapter, r.tenant, r.request};
  }

  [[nodiscard]] std::uint32_t& child(std::uint32_t at) noexcept { return roots_[at].child; }
  [[nodiscard]] std::uint32_t child(std::uint32_t at) const noexcept { return roots_[at].child; }

  /// How many keys are held, besides the plain one.
  [[nodiscard]] std::size_t size() const noexcept { return held_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return roots_.bytes() + buckets_.bytes(); }

  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t held = 0;
    for (std::uint32_t at = 1; at < used_; ++at) held += roots_[at].holders != 0;
    return held == held_ && (used_ == 0 || roots_[0].holders != 0);
  }

 private:
  struct root {
    unsigned char* salt;
    std::size_t salt_bytes;
    std::uint64_t adapter;
    std::uint64_t request;
    std::uint64_t mixed;
    tenant_id tenant;
    std::uint32_t child;
    std::uint32_t holders;
    std::uint32_t next;  // in its bucket, or among those that wait for use
  };

  [[nodiscard]] static bool is_plain(const prefix_key& key) noexcept {
    return key.salt_bytes == 0 && key.adapter == 0 && key.tenant == 0 && key.request == 0;
  }

  [[nodiscard]] static bool is_broken(const prefix_key& key) noexcept {
    return key.salt == nullptr && key.salt_bytes != 0;
  }

  [[nodiscard]] std::uint64_t hash(const prefix_key& key) const noexcept {
    std::uint64_t mixed = seed_ ^ (key.adapter + 0x9e3779b97f4a7c15);
    mixed = (mixed ^ key.tenant) * 0xd6e8feb86659fd93;
    mixed = (mixed ^ key.request) * 0xd6e8feb86659fd93;
    const auto* bytes = static_cast<const unsigned char*>(key.salt);
    for (std::size_t at = 0; at < key.salt_bytes; ++at) mixed = (mixed ^ bytes[at]) * 0x100000001b3;
    mixed = (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93;
    return mixed ^ (mixed >> 32);
  }

  [[nodiscard]] std::uint32_t look_up(const prefix_key& key, std::uint64_t mixed) const noexcept {
    for (std::uint32_t at = buckets_[mixed & (buckets_.size() - 1)]; at != 0; at = roots_[at].next) {
      const root& r = roots_[at];
      if (r.mixed != mixed || r.adapter != key.adapter || r.salt_bytes != key.salt_bytes) continue;
      if (r.tenant != key.tenant || r.request != key.request) continue;
      if (key.salt_bytes == 0 || std::memcmp(r.salt, key.salt, key.salt_bytes) == 0) return at;
    }
    return 0;
  }

  [[nodiscard]] std::uint32_t add(const prefix_key& key, std::uint64_t mixed) noexcept {
    if (used_ == none || (waiting_ == 0 && !roots_.grow(std::size_t{used_} + 1)) || !rehash()) return none;
    auto* salt = static_cast<unsigned char*>(std::malloc(key.salt_bytes == 0 ? 1 : key.salt_bytes));
    if (salt == nullptr) return none;
    if (key.salt_bytes != 0) std::memcpy(salt, key.salt, key.salt_bytes);
    const std::uint32_t at = waiting_ != 0 ? waiting_ : used_++;
    if (at == waiting_) waiting_ = roots_[at].next;
    std::uint32_t& bucket = buckets_[mixed & (buckets_.size() - 1)];
    roots_[at] = {salt, key.salt_bytes, key.adapter, key.request, mixed, key.tenant, 0, 1, bucket};
    bucket = at;
    ++held_;
    return at;
  }

  void drop(std::uint32_t at) noexcept {
    std::uint32_t* from = &buckets_[roots_[at].mixed & (buckets_.size() - 1)];
    while (*from != at) from = &roots_[*from].next;
    *from = roots_[at].next;
    std::free(roots_[at].salt);
    roots_[at] = {};
    roots_[at].next = waiting_;
    waiting_ = at;
    --held_;
  }

  [[nodiscard]] bool rehash() noexcept {
    if (held_ < buckets_.size()) return true;
    column<std::uint32_t> wider;
    if (!wider.open(buckets_.size() * 2)) return false;
    for (std::uint32_t at = 1; at < used_; ++at) {
      if (roots_[at].holders == 0) continue;
      std::uint32_t& bucket = wider[roots_[at].mixed & (wider.size() - 1)];
      roots_[at].next = bucket;
      bucket = at;
    }
    buckets_ = static_cast<column<std::uint32_t>&&>(wider);
    return true;
  }

  column<root> roots_;
  column<std::uint32_t> buckets_;
  std::size_t held_ = 0;
  std::uint64_t seed_ = 0;
  std::uint32_t used_ = 0;
  std::uint32_t waiting_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
