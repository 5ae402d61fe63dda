// The calls of a simulated machine that put memory behind reserved addresses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <tokenheap/device/sim_memory.hpp>

namespace tokenheap {
inline namespace v0 {

/// Physical memory of a simulated device. No later pages have the same value.
enum class sim_pages : std::uint64_t { none = 0 };

/// The calls of a machine about addresses and the pages behind them.
///
/// Two mappings of the same pages are the same bytes, for the race check too.
///
/// Threads   safe
class sim_paging : public sim_memory {
 public:
  using sim_memory::sim_memory;

  device_status reserve(int ordinal, std::size_t bytes, std::size_t alignment, void*& out) noexcept {
    const sim_gate gate(*this, sim_call::reserve, ordinal);
    if (!gate) return gate.status();
    if (options.page_bytes == 0) return sim_status(device_error::unsupported);
    if (!is_whole(bytes) || (alignment != 0 && !is_alignment(alignment))) return sim_status(device_error::invalid_value);
    if (!reach(ordinal)) return sim_status(device_error::out_of_memory);
    const std::size_t aligned = alignment < options.page_bytes ? options.page_bytes : alignment;
    const std::uintptr_t at = units[static_cast<std::size_t>(ordinal)].reservations.take(bytes, aligned);
    if (at == 0) return sim_status(device_error::out_of_memory);
    reservations_.add({at, bytes, ordinal});
    out = reinterpret_cast<void*>(at);
    return {};
  }
  device_status unreserve(int ordinal, void* p, std::size_t bytes) noexcept {
    const sim_gate gate(*this, sim_call::unreserve, ordinal);
    if (!gate) return gate.status();
    const sim_reservation* const r = reservations_.at(address_of(p));
    if (r == nullptr) return wrong_free(sim_call::unreserve, p);
    if (r->bytes != bytes || !mappings_.is_free(r->begin, bytes)) return sim_status(device_error::invalid_value);
    units[static_cast<std::size_t>(r->device)].reservations.give_back(r->begin, r->bytes);
    reservations_.remove(r);
    return {};
  }

  device_status create_pages(int ordinal, std::size_t bytes, sim_pages& out) noexcept {
    const sim_gate gate(*this, sim_call::create_pages, ordinal);
    if (!gate) return gate.status();
    if (options.page_bytes == 0) return sim_status(device_error::unsupported);
    if (!is_whole(bytes)) return sim_status(device_error::invalid_value);
    sim_unit& unit = units[static_cast<std::size_t>(ordinal)];
    if (bytes > options.capacity - unit.used) return sim_status(device_error::out_of_memory);
    const std::uintptr_t place = unit.pages.take(bytes, options.page_bytes);
    if (place == 0) return sim_status(device_error::out_of_memory);
    if (free_pages_.empty()) {
      free_pages_.push_back(static_cast<std::uint32_t>(pages_.size()));
      pages_.emplace_back();
    }
    const std::uint32_t k = free_pages_.back();
    free_pages_.pop_back();
    physical& made = pages_[k];
    made = {made.generation + 1, true, false, 0, bytes, place, ordinal};
    take(unit, bytes);
    ++live_pages;
    out = static_cast<sim_pages>((std::uint64_t{made.generation} << 32) | (k + 1));
    return {};
  }
  /// Pages that are mapped live on until the last mapping goes.
  device_status release_pages(int ordinal, sim_pages pages) noexcept {
    const sim_gate gate(*this, sim_call::release_pages, ordinal);
    if (!gate) return gate.status();
    const std::uint32_t k = find(pages, sim_call::release_pages);
    if (k == none) return sim_status(device_error::invalid_value);
    pages_[k].released = true;
    drop_if_over(k);
    return {};
  }

  device_status map(int ordinal, void* p, std::size_t bytes, sim_pages pages) noexcept {
    const sim_gate gate(*this, sim_call::map, ordinal);
    if (!gate) return gate.status();
    const std::uintptr_t at = address_of(p);
    const sim_reservation* const r = reservations_.over(at);
    if (r == nullptr || !is_whole(bytes) || at % options.page_bytes != 0) return sim_status(device_error::invalid_value);
    if (bytes > r->begin + r->bytes - at || !mappings_.is_free(at, bytes)) return sim_status(device_error::invalid_value);
    const std::uint32_t k = find(pages, sim_call::map);
    if (k == none || pages_[k].bytes != bytes) return sim_status(device_error::invalid_value);
    if (options.backed && !backing.map(at, bytes, pages_[k].place - first_page_place)) {
      return sim_status(device_error::out_of_memory);
    }
    ++pages_[k].mappings;
    mappings_.add({at, bytes, k, pages_[k].device, false, {}});
    return {};
  }
  device_status set_access(int ordinal, void* p, std::size_t bytes) noexcept {
    const sim_gate gate(*this, sim_call::set_access, ordinal);
    if (!gate) return gate.status();
    const std::uintptr_t begin = address_of(p);
    if (!is_whole(bytes) || !is_mapped(begin, bytes)) return sim_status(device_error::invalid_value);
    for (std::uintptr_t at = begin; at < begin + bytes;) {
      sim_mapping& m = *mappings_.over(at);
      if (options.backed && !sim_backing::open_up(m.begin, m.bytes)) return sim_status(device_error::out_of_memory);
      m.open = true;
      at = m.begin + m.bytes;
    }
    return {};
  }
  /// Does not wait for the device: work that still uses the addresses is a finding.
  device_status unmap(int ordinal, void* p, std::size_t bytes) noexcept {
    const sim_gate gate(*this, sim_call::unmap, ordinal);
    if (!gate) return gate.status();
    const std::uintptr_t begin = address_of(p);
    if (!is_whole(bytes) || mappings_.is_free(begin, bytes)) return sim_status(device_error::invalid_value);
    // a mapping goes as a whole or stays
    const sim_mapping* const first = mappings_.over(begin);
    const sim_mapping* const last = mappings_.over(begin + bytes - 1);
    if (first != nullptr && first->begin != begin) return sim_status(device_error::invalid_value);
    if (last != nullptr && last->begin + last->bytes != begin + bytes) return sim_status(device_error::invalid_value);
    auto& all = mappings_.all();
    for (std::size_t k = all.size(); k-- != 0;) {
      if (all[k].begin >= begin && all[k].begin < begin + bytes) take_away(k);
    }
    return {};
  }

  [[nodiscard]] std::size_t live_reservations() const noexcept { return reservations_.all().size(); }
  [[nodiscard]] std::size_t live_mappings() const noexcept { return mappings_.all().size(); }
  std::size_t live_pages = 0;

 protected:
  [[nodiscard]] sim_mapping* mapping_over(std::uintptr_t at) noexcept { return mappings_.over(at); }
  /// Where the bytes of a mapping stand in the shadow.
  [[nodiscard]] std::uintptr_t place_of(const sim_mapping& m) const noexcept { return pages_[m.pages].place; }

 private:
  struct physical {
    std::uint32_t generation = 0;
    bool is_live = false;
    bool released = false;
    std::uint32_t mappings = 0;
    std::size_t bytes = 0;
    std::uintptr_t place = 0;
    int device = 0;
  };
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  [[nodiscard]] bool is_whole(std::size_t bytes) const noexcept {
    return options.page_bytes != 0 && bytes != 0 && bytes <= max_allocation && bytes % options.page_bytes == 0;
  }
  [[nodiscard]] bool is_mapped(std::uintptr_t begin, std::size_t bytes) noexcept {
    for (std::uintptr_t at = begin; at < begin + bytes;) {
      const sim_mapping* const m = mappings_.over(at);
      if (m == nullptr) return false;
      at = m->begin + m->bytes;
    }
    return true;
  }
  [[nodiscard]] std::uint32_t find(sim_pages pages, sim_call call) {
    const auto value = static_cast<std::uint64_t>(pages);
    const std::size_t k = (value & 0xFFFF'FFFFu) - 1;
    if (k < pages_.size() && pages_[k].is_live && !pages_[k].released && pages_[k].generation == value >> 32) {
      return static_cast<std::uint32_t>(k);
    }
    wrong(k < pages_.size() ? sim_wrong::double_free : sim_wrong::foreign_free, call);
    return none;
  }
  void take_away(std::size_t k) {
    sim_mapping& m = mappings_.all()[k];
    const sim_host& host = order.self();
    std::uint32_t ahead = 0;
    if (options.race_check && !host.clock.covers(m.used, &ahead) && !order.actor(ahead).is_host) {
      wrong({sim_wrong::unmapped_in_use, m.begin, m.bytes, party({ahead, 1, static_cast<std::uint8_t>(sim_call::launch)}, true),
             party({host.dimension, 1, static_cast<std::uint8_t>(sim_call::unmap)}, true)});
    }
    if (options.backed) sim_backing::close_off(m.begin, m.bytes);
    const std::uint32_t pages = m.pages;
    mappings_.remove(&m);
    --pages_[pages].mappings;
    drop_if_over(pages);
  }
  void drop_if_over(std::uint32_t k) {
    physical& p = pages_[k];
    if (!p.released || p.mappings != 0) return;
    sim_unit& unit = units[static_cast<std::size_t>(p.device)];
    if (options.race_check) shadow.forget(p.place, p.bytes);
    if (options.backed) backing.punch(p.place - first_page_place, p.bytes);
    unit.pages.give_back(p.place, p.bytes);
    unit.used -= p.bytes;
    p.is_live = false;
    free_pages_.push_back(k);
    --live_pages;
  }

  sim_ranges<sim_reservation> reservations_;
  sim_ranges<sim_mapping> mappings_;
  std::vector<physical> pages_;
  std::vector<std::uint32_t> free_pages_;
};

}  // namespace v0
}  // namespace tokenheap
