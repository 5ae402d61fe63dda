// The calls of a simulated machine that give memory of its devices and pinned memory of the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <tokenheap/device/sim_addresses.hpp>
#include <tokenheap/device/sim_backing.hpp>
#include <tokenheap/device/sim_blocks.hpp>
#include <tokenheap/device/sim_ordering.hpp>

namespace tokenheap {
inline namespace v0 {

/// The memory of one device: its addresses, and how much of it is out.
struct sim_unit {
  sim_addresses pieces;        ///< for `allocate`
  sim_addresses reservations;  ///< for `reserve`
  sim_addresses pages;         ///< where its pages stand in the shadow and in the file behind
  std::size_t used = 0;
  std::size_t peak = 0;
};

/// The calls of a machine that give and take memory.
///
/// Threads   safe
class sim_memory : public sim_ordering {
 public:
  explicit sim_memory(const sim_options& chosen) : sim_ordering(chosen) { set_up(); }
  ~sim_memory() {
    for (const sim_block& b : blocks.all()) {
      if (b.kind == sim_memory_kind::pinned) sim_pinned_memory::give_back(reinterpret_cast<void*>(b.begin), b.bytes);
    }
    for (const region& r : regions_) sim_backing::unreserve(r.begin, r.bytes);
  }

  device_status allocate(int ordinal, std::size_t bytes, void*& out) noexcept {
    const sim_gate gate(*this, sim_call::allocate, ordinal);
    if (!gate) return gate.status();
    if (!options.allocates_in_capture && captures.forbid(order.self())) return sim_status(device_error::capture_refused);
    if (bytes == 0) return sim_status(device_error::invalid_value);
    sim_unit& unit = units[static_cast<std::size_t>(ordinal)];
    if (bytes > options.capacity) return sim_status(device_error::out_of_memory);
    const std::size_t taken = align_up(bytes, options.alignment);
    if (taken > options.capacity - unit.used || !reach(ordinal)) return sim_status(device_error::out_of_memory);
    const std::uintptr_t at = unit.pieces.take(footprint(taken), footprint(options.alignment));
    if (at == 0) return sim_status(device_error::out_of_memory);
    if (options.backed) {
      if (!sim_backing::commit(at, footprint(taken))) {
        unit.pieces.give_back(at, footprint(taken));
        return sim_status(device_error::out_of_memory);
      }
      std::memset(reinterpret_cast<void*>(at), options.fresh_byte, bytes);
    }
    blocks.add({at, bytes, taken, sim_memory_kind::device, ordinal});
    take(unit, taken);
    ++live_allocations;
    out = reinterpret_cast<void*>(at);
    return {};
  }
  device_status deallocate(int ordinal, void* p) noexcept {
    const sim_gate gate(*this, sim_call::deallocate, ordinal);
    if (!gate) return gate.status();
    if (p == nullptr) return {};
    sim_host& host = order.self();
    if (captures.forbid(host)) return sim_status(device_error::capture_refused);
    const sim_block* const b = blocks.at(address_of(p));
    if (b == nullptr || b->kind != sim_memory_kind::device) return wrong_free(sim_call::deallocate, p);
    wait_for_device(b->device, host);
    expect_idle(sim_wrong::race, sim_call::deallocate, b->begin, b->bytes);
    sim_unit& unit = units[static_cast<std::size_t>(b->device)];
    if (options.race_check) shadow.forget(b->begin, b->bytes);
    if (options.backed) sim_backing::close_off(b->begin, footprint(b->taken));
    unit.pieces.give_back(b->begin, footprint(b->taken));
    unit.used -= b->taken;
    blocks.remove(b);
    --live_allocations;
    return {};
  }
  device_status memory(int ordinal, device_memory& out) noexcept {
    const sim_gate gate(*this, sim_call::memory, ordinal);
    if (!gate) return gate.status();
    out = {options.capacity - units[static_cast<std::size_t>(ordinal)].used, options.capacity};
    return {};
  }

  device_status allocate_pinned(int ordinal, std::size_t bytes, void*& out) noexcept {
    const sim_gate gate(*this, sim_call::allocate_pinned, ordinal);
    if (!gate) return gate.status();
    if (captures.forbid(order.self())) return sim_status(device_error::capture_refused);
    if (bytes == 0) return sim_status(device_error::invalid_value);
    if (bytes > options.pinned_capacity - used_pinned) return sim_status(device_error::out_of_memory);
    void* const at = sim_pinned_memory::take(bytes);
    if (at == nullptr) return sim_status(device_error::out_of_memory);
    pin(address_of(at), bytes, sim_memory_kind::pinned);
    out = at;
    return {};
  }
  device_status deallocate_pinned(int ordinal, void* p) noexcept {
    const sim_gate gate(*this, sim_call::deallocate_pinned, ordinal);
    if (!gate) return gate.status();
    if (p == nullptr) return {};
    sim_host& host = order.self();
    if (captures.forbid(host)) return sim_status(device_error::capture_refused);
    const sim_block* const b = blocks.at(address_of(p));
    if (b == nullptr || b->kind != sim_memory_kind::pinned) return wrong_free(sim_call::deallocate_pinned, p);
    // as the driver does: all work is done before the pages go
    for (int d = 0; d < options.devices; ++d) wait_for_device(d, host);
    sim_pinned_memory::give_back(p, b->bytes);
    unpin(b);
    return {};
  }
  device_status register_host(int ordinal, void* p, std::size_t bytes) noexcept {
    const sim_gate gate(*this, sim_call::register_host, ordinal);
    if (!gate) return gate.status();
    if (captures.forbid(order.self())) return sim_status(device_error::capture_refused);
    if (p == nullptr || bytes == 0 || bytes > max_allocation || is_device_address(address_of(p))) {
      return sim_status(device_error::invalid_value);
    }
    if (!blocks.is_free(address_of(p), bytes)) return sim_status(device_error::invalid_value);
    if (bytes > options.pinned_capacity - used_pinned) return sim_status(device_error::out_of_memory);
    pin(address_of(p), bytes, sim_memory_kind::registered);
    return {};
  }
  /// Does not wait for the device: work that still uses the memory is a finding.
  device_status unregister_host(int ordinal, void* p) noexcept {
    const sim_gate gate(*this, sim_call::unregister_host, ordinal);
    if (!gate) return gate.status();
    if (captures.forbid(order.self())) return sim_status(device_error::capture_refused);
    const sim_block* const b = blocks.at(address_of(p));
    if (b == nullptr || b->kind != sim_memory_kind::registered) return wrong_free(sim_call::unregister_host, p);
    expect_idle(sim_wrong::unmapped_in_use, sim_call::unregister_host, b->begin, b->bytes);
    unpin(b);
    return {};
  }

  std::vector<sim_unit> units;
  sim_ranges<sim_block> blocks;
  sim_backing backing;
  std::size_t live_allocations = 0;
  std::size_t live_pinned = 0;
  std::size_t used_pinned = 0;

 protected:
  static constexpr std::uintptr_t first_page_place = std::uintptr_t{0x1000} << 32;
  static constexpr std::size_t stride = std::size_t{1} << 40;  // addresses of one kind, for each device

  [[nodiscard]] bool is_device_address(std::uintptr_t at) const noexcept {
    for (const sim_unit& u : units) {
      if (u.pieces.contains(at) || u.reservations.contains(at)) return true;
    }
    return false;
  }
  [[nodiscard]] bool was_device_address(std::uintptr_t at) const noexcept {
    for (const sim_unit& u : units) {
      if (u.pieces.was_used(at) || u.reservations.was_used(at)) return true;
    }
    return false;
  }
  void take(sim_unit& unit, std::size_t bytes) noexcept {
    unit.used += bytes;
    if (unit.peak < unit.used) unit.peak = unit.used;
  }
  // real addresses for a backed device, when it is asked for the first time
  [[nodiscard]] bool reach(int ordinal) {
    sim_unit& unit = units[static_cast<std::size_t>(ordinal)];
    if (!options.backed || unit.pieces.begin() != 0) return true;
    const std::size_t pieces = align_up(4 * options.capacity, 1 * GiB);
    const std::size_t reserved = align_up(16 * options.capacity, 1 * GiB);
    void* const at = sim_backing::reserve(first_address(ordinal), pieces + reserved);
    if (at == nullptr) return false;
    regions_.push_back({address_of(at), pieces + reserved});
    unit.pieces = sim_addresses(address_of(at), pieces);
    unit.reservations = sim_addresses(address_of(at) + pieces, reserved);
    return true;
  }
  // nothing that a stream did to the bytes may still be running, as far as the host knows
  void expect_idle(sim_wrong kind, sim_call call, std::uintptr_t begin, std::size_t bytes) {
    if (!options.race_check) return;
    sim_conflict c;
    const sim_host& host = order.self();
    if (shadow.is_ordered(begin, bytes, true, host.clock, c) || order.actor(c.first.dimension).is_host) return;
    wrong({kind, c.begin, c.bytes, party(c.first, c.first_writes),
           party({host.dimension, 1, static_cast<std::uint8_t>(call)}, true)});
  }
  device_status wrong_free(sim_call call, const void* p) {
    const bool twice = was_device_address(address_of(p)) && blocks.over(address_of(p)) == nullptr;
    wrong(twice ? sim_wrong::double_free : sim_wrong::foreign_free, call, address_of(p));
    return sim_status(device_error::invalid_value);
  }

 private:
  struct region {
    std::uintptr_t begin;
    std::size_t bytes;
  };

  [[nodiscard]] static std::uintptr_t first_address(int ordinal) noexcept {
    return (std::uintptr_t{0x2000} << 32) + 2 * stride * static_cast<std::size_t>(ordinal);
  }
  // real memory comes in pages of the system
  [[nodiscard]] std::size_t footprint(std::size_t bytes) const noexcept {
    return options.backed ? align_up(bytes, 4 * KiB) : bytes;
  }
  void pin(std::uintptr_t at, std::size_t bytes, sim_memory_kind kind) {
    blocks.add({at, bytes, bytes, kind, 0});
    used_pinned += bytes;
    ++live_pinned;
  }
  void unpin(const sim_block* b) {
    if (options.race_check) shadow.forget(b->begin, b->bytes);
    used_pinned -= b->bytes;
    --live_pinned;
    blocks.remove(b);
  }
  void set_up() {
    units.resize(streams.size());
    for (std::size_t d = 0; d != units.size(); ++d) {
      units[d].pages = sim_addresses(first_page_place + d * stride, stride);
      if (options.backed) continue;
      const std::uintptr_t first = first_address(static_cast<int>(d));
      units[d].pieces = sim_addresses(first, stride);
      units[d].reservations = sim_addresses(first + stride, stride);
    }
  }

  std::vector<region> regions_;
};

}  // namespace v0
}  // namespace tokenheap
