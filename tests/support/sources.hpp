#pragma once

// Sources that tests look through: one that counts, one that runs out on demand, one whose memory nobody may touch.

#include <sys/mman.h>

#include <array>
#include <cstddef>

#include <tokenheap/concepts/source.hpp>
#include <tokenheap/source/host.hpp>

namespace support {

/// The heap, with a count of what is out.
class counting_source {
 public:
  using space = tokenheap::host_space;

  [[nodiscard]] tokenheap::allocation allocate(std::size_t bytes,
                                               std::size_t alignment = tokenheap::default_alignment) noexcept {
    ++asked;
    const tokenheap::allocation a = heap_.allocate(bytes, alignment);
    if (a) {
      ++live;
      live_bytes += a.size;
      ++taken;
      last = a;
    }
    return a;
  }
  void deallocate(tokenheap::allocation a) noexcept {
    if (!a) return;
    --live;
    live_bytes -= a.size;
    heap_.deallocate(a);
  }
  [[nodiscard]] static constexpr const char* name() noexcept { return "counting"; }

  std::size_t asked = 0;
  std::size_t taken = 0;
  std::size_t live = 0;
  std::size_t live_bytes = 0;
  tokenheap::allocation last{};

 private:
  tokenheap::host_source heap_;
};

struct failing_options {
  std::size_t after = 0;
};

/// The heap, which says no once `after` more allocations were given.
class failing_source {
 public:
  using space = tokenheap::host_space;
  using options = failing_options;

  failing_source() noexcept = default;
  explicit failing_source(const failing_options& with) noexcept : after(with.after) {}

  [[nodiscard]] tokenheap::allocation allocate(std::size_t bytes,
                                               std::size_t alignment = tokenheap::default_alignment) noexcept {
    if (after == 0) return {};
    const tokenheap::allocation a = heap_.allocate(bytes, alignment);
    if (a) --after;
    return a;
  }
  void deallocate(tokenheap::allocation a) noexcept { heap_.deallocate(a); }

  std::size_t after = ~std::size_t{0};

 private:
  tokenheap::host_source heap_;
};

/// Stands for a device: its addresses exist, and any touch of them ends the test.
class untouchable_source {
 public:
  using space = tokenheap::device_space;

  [[nodiscard]] tokenheap::allocation allocate(std::size_t bytes,
                                               std::size_t alignment = tokenheap::default_alignment) noexcept {
    if (!tokenheap::is_request(bytes, alignment)) return {};
    // a whole mapping for each piece: over-long, so that an aligned address lies inside it
    const std::size_t length = tokenheap::align_up(bytes, 4096) + (alignment > 4096 ? alignment : 0);
    void* const at = ::mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return {};
    const std::size_t skip = tokenheap::align_up(tokenheap::address_of(at), alignment) - tokenheap::address_of(at);
    for (mapping& m : mappings_) {
      if (m.start != nullptr) continue;
      m = {at, length, tokenheap::offset(at, skip)};
      ++live;
      return {m.given, bytes};
    }
    ::munmap(at, length);
    return {};
  }
  void deallocate(tokenheap::allocation a) noexcept {
    for (mapping& m : mappings_) {
      if (!a || m.given != a.data) continue;
      ::munmap(m.start, m.length);
      m = {};
      --live;
    }
  }
  [[nodiscard]] static constexpr const char* name() noexcept { return "untouchable"; }

  std::size_t live = 0;

 private:
  struct mapping {
    void* start = nullptr;
    std::size_t length = 0;
    void* given = nullptr;
  };
  std::array<mapping, 512> mappings_{};
};

static_assert(tokenheap::source<counting_source> && tokenheap::source<failing_source>);
static_assert(tokenheap::source<untouchable_source> && !tokenheap::cpu_accessible<untouchable_source>);

}  // namespace support
