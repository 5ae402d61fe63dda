// Every short program of allocations and frees, each on an allocator and a machine of its own.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include <support/catch.hpp>
#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/check/fiber.hpp>
#include <tokenheap/check/programs.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/policy/none.hpp>

namespace caching_programs {
using namespace tokenheap;

/// Segments of a few pieces, so that six operations are enough to cut, merge, grow, run out, borrow and give back.
template <segment_kind Kind, borrowing Borrow>
struct tiny_policy : default_caching_policy {
  using lock = no_lock;
  using growth_lock = no_lock;
  static constexpr caching_shape shape{.granularity = 512, .small_most = 4 * KiB, .small_segment = 4 * KiB,
                                       .large_segment = 16 * KiB, .own_segment = 8 * KiB, .rounding = 2 * KiB,
                                       .extent = 4 * KiB, .subclasses = 4, .scan = 4};
  static constexpr borrowing borrow = Borrow;
  static constexpr segment_kind kind_of(memory_class) noexcept { return Kind; }
};
inline constexpr std::size_t sizes[] = {1 * KiB, 3 * KiB};
inline constexpr std::size_t capacities[] = {4 * KiB, 6 * KiB, 12 * KiB};

/// What a free that names another stream means.
enum class foreign : std::uint8_t {
  frees,  ///< that stream waits for the first one and gives the piece back
  uses,   ///< that stream waits, reads the piece, and is told to the allocator; the first one gives it back at once
};

/// What was played, and the first program that broke a rule.
struct outcome {
  std::uint64_t programs = 0;
  std::uint64_t refused = 0;  ///< requests that found no memory
  std::uint64_t borrows = 0;
  std::uint64_t waits_for_all = 0;
  std::uint64_t given_back = 0;  ///< segments and mappings that went while a program ran
  std::uint64_t broken = 0;
  std::string first;
};

template <class Policy>
class player {
 public:
  player(std::size_t capacity, foreign meaning, outcome& into) noexcept
      : capacity_(capacity), meaning_(meaning), into_(into) {}

  void operator()(const program& p) {
    ++into_.programs;
    const char* const wrong = play(p);
    if (wrong == nullptr || into_.broken++ != 0) return;
    into_.first = write_program(p) + " with " + std::to_string(capacity_) + " bytes: " + wrong;
  }

 private:
  using gpu = caching_allocator<sim_device, Policy>;
  struct held {
    allocation piece;
    std::size_t home;
  };

  const char* play(const program& p) {
    sim_machine machine(sim_options{.capacity = capacity_, .page_bytes = 2 * KiB, .one_host = true});
    sim_device device = machine.device();
    sim_device::stream streams[3];
    for (auto& s : streams)
      if (!device.create_stream(s)) return "no stream";
    const char* wrong = nullptr;
    {
      gpu made(device, {.address_space = 16 * KiB});
      first_ = last_ = 0;
      for (const program_step& s : p)
        if ((wrong = step(s, device, made, streams)) != nullptr) break;
      const device_stats now = made.stats();
      into_.borrows += now.num_borrows;
      into_.waits_for_all += now.num_sync_all_streams;
      into_.given_back += now.num_device_free;
      if (wrong == nullptr) wrong = judge(made, machine);
      for (; first_ != last_; ++first_) made.deallocate(streams[held_[first_].home], held_[first_].piece);
      if (wrong == nullptr) wrong = judge(made, machine);
      if (wrong == nullptr && made.stats().all.allocated_bytes.current != 0) wrong = "bytes are out after all was given back";
    }
    for (auto& s : streams) static_cast<void>(device.destroy_stream(s));
    if (wrong == nullptr && machine.violations() != 0) {
      machine.describe(0, text_, sizeof text_);
      wrong = text_;
    }
    return wrong == nullptr && !machine.is_clean() ? "something is left on the device" : wrong;
  }

  const char* step(const program_step& s, sim_device& device, gpu& made, const sim_device::stream* streams) {
    if (s.verb == program_verb::allocate) {
      const std::size_t size = sizes[s.size];
      allocation a = made.allocate(streams[s.stream], size);
      if (!a) {
        ++into_.refused;
        // what was refused is refused again at once: no rung of the ladder may leave more behind than it found
        a = made.allocate(streams[s.stream], size);
        if (a) return "the second try found what the first did not";
        // the program goes on without the piece: a free takes another one, or none
        return nullptr;
      }
      if (a.size < size) return "too short";
      for (std::size_t k = first_; k != last_; ++k)
        if (overlap(held_[k].piece, a)) return "two pieces overlap";
      if (!device.launch_write(streams[s.stream], a.data, a.size)) return "the kernel was refused";
      held_[last_++] = {a, s.stream};
      return nullptr;
    }
    if (first_ == last_) return nullptr;
    const held h = s.verb == program_verb::free_first ? held_[first_++] : held_[--last_];
    if (s.stream == program_step::own || s.stream == h.home) {
      made.deallocate(streams[h.home], h.piece);
      return nullptr;
    }
    sim_device::event e{};
    if (!device.create_event(e) || !device.record(e, streams[h.home]) || !device.wait(streams[s.stream], e)) return "no event";
    static_cast<void>(device.destroy_event(e));
    if (!device.launch_read(streams[s.stream], h.piece.data, h.piece.size)) return "the kernel was refused";
    if (meaning_ == foreign::frees) {
      made.deallocate(streams[s.stream], h.piece);
      return nullptr;
    }
    if (made.record_stream(h.piece, streams[s.stream]) != errc::ok) return "the use was not noted";
    made.deallocate(streams[h.home], h.piece);
    return nullptr;
  }

  static bool overlap(const allocation& a, const allocation& b) noexcept {
    const std::size_t x = address_of(a.data);
    const std::size_t y = address_of(b.data);
    return x < y + b.size && y < x + a.size;
  }

  const char* judge(gpu& made, const sim_machine& machine) const {
    if (!made.is_valid()) return "is_valid says no";
    const device_stats now = made.stats();
    std::size_t out = 0;
    for (std::size_t k = first_; k != last_; ++k) out += held_[k].piece.size;
    if (now.all.allocated_bytes.current != out) return "allocated_bytes is not what is out";
    if (out + now.pending_bytes + now.cached_bytes != now.all.reserved_bytes.current) return "the sums do not add up";
    if (now.all.reserved_bytes.current != machine.used()) return "reserved_bytes is not what the device gave";
    if (now.all.active_bytes.current != out + now.pending_bytes) return "active_bytes is not what is out and pending";
    const gauge& pieces = now.all.allocation;
    if (pieces.allocated - pieces.freed != pieces.current) return "allocated - freed is not current";
    return nullptr;
  }

  std::size_t capacity_;
  foreign meaning_;
  outcome& into_;
  held held_[program::most];
  std::size_t first_ = 0;
  std::size_t last_ = 0;
  char text_[256] = {};
};

/// True if the tests are asked for the bounds that take minutes: TOKENHEAP_TEST_LONG=1.
inline bool is_long() {
  const char* const asked = std::getenv("TOKENHEAP_TEST_LONG");
  return asked != nullptr && *asked == '1';
}

/// Steps that programs are shorter by under a sanitizer, which plays them five to ten times slower; one thread plays them, so that
/// ThreadSanitizer has little to say.
#if defined(TOKENHEAP_HAS_TSAN)
inline constexpr unsigned fewer = 2;
#elif defined(TOKENHEAP_HAS_ASAN)
inline constexpr unsigned fewer = 1;
#else
inline constexpr unsigned fewer = 0;
#endif
inline constexpr bool is_slow = fewer != 0;

template <class Policy>
void play_all(program_options with, foreign meaning, outcome& into) {
  for (const std::size_t capacity : capacities) {
    player<Policy> p(capacity, meaning, into);
    for_each_program(with, [&p](const program& one) { p(one); });
  }
}

/// Plays programs of 1 to 6 operations in full, of 7 up to the names of streams, and those where a second stream takes part.
template <class Policy>
void run(const char* name) {
  // a program that breaks a rule is named once, not what it leaves out
  const failure_handler before = set_failure_handler([](const failure&) noexcept {});
  outcome all;
  const std::size_t top = 6 + (is_long() ? 1 : 0) - fewer;
  for (std::size_t length = 1; length <= 6 - fewer; ++length)
    play_all<Policy>({.length = length, .renamed = false}, foreign::frees, all);
  play_all<Policy>({.length = top + 1}, foreign::frees, all);
  const outcome plain = all;
  play_all<Policy>({.length = top, .foreign_frees = true}, foreign::frees, all);
  play_all<Policy>({.length = top, .foreign_frees = true}, foreign::uses, all);
  const auto number = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("%s: %llu programs, %llu of them with two streams at a piece; ", name, number(all.programs),
              number(all.programs - plain.programs));
  std::printf("%llu requests refused, %llu borrows, %llu waits for all, %llu times memory went back\n", number(all.refused),
              number(all.borrows), number(all.waits_for_all), number(all.given_back));
  set_failure_handler(before);
  INFO(all.first);
  CHECK(all.broken == 0);
  CHECK(all.refused != 0);
  CHECK(all.given_back != 0);
  CHECK((all.borrows != 0) == (Policy::borrow != borrowing::never));
}

}  // namespace caching_programs
