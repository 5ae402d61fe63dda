#include <tokenheap/alloc/caching.hpp>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include <tokenheap/policy/none.hpp>

#include "caching_kit.hpp"

using namespace caching_kit;

// Random requests against a plain model of what is out, and threads that pass pieces between their streams.

namespace {

using stream = sim_device::stream;

template <segment_kind Kind, borrowing Borrow = borrowing::when_out_of_memory>
struct plain_policy : default_caching_policy {
  using lock = no_lock;
  using growth_lock = no_lock;
  static constexpr borrowing borrow = Borrow;
  static constexpr segment_kind kind_of(memory_class) noexcept { return Kind; }
};

bool is_long() {
  const char* const asked = std::getenv("TOKENHEAP_TEST_LONG");
  return asked != nullptr && *asked == '1';
}

/// A number of at most `most` whose size in bits is as likely as any other's.
std::size_t any_size(std::mt19937_64& random, std::size_t most) {
  const int bits = 64 - __builtin_clzll(most);
  const std::size_t range = std::size_t{1} << (random() % static_cast<unsigned>(bits) + 1);
  return std::min(most, random() % range + 1);
}

struct plan {
  std::uint64_t seed = 1;
  std::size_t capacity = 8 * GiB;
  std::size_t most_bytes = 32 * MiB;
  std::size_t most_pieces = 1000;
  std::size_t steps = 0;
  bool race_check = false;
};

/// What happened, so that a run that never came to the interesting places is seen.
struct tally {
  std::size_t granted, refused, tried, other_stream, uses, misuses, drains, trimmed, borrows, waits_for_all;
};

template <class Policy>
class model {
  static constexpr std::size_t stream_count = 4;
  static constexpr caching_shape shape = Policy::shape;
  static constexpr bool fixed = Policy::kind_of(memory_class::general) == segment_kind::fixed;

 public:
  explicit model(const plan& with)
      : with_(with), random_(with.seed),
        machine_(sim_options{.capacity = with.capacity, .race_check = with.race_check, .one_host = true}),
        device_(machine_.device()) {
    for (stream& s : streams_) REQUIRE(device_.create_stream(s));
    gpu_ = new caching_allocator<sim_device, Policy>(device_);
  }
  model(const model&) = delete;
  model& operator=(const model&) = delete;
  ~model() {
    delete gpu_;
    for (stream& s : streams_) CHECK(device_.destroy_stream(s));
    CHECK(machine_.violations() == 0);
    CHECK(machine_.is_clean());
  }

  /// Plays all steps; names the first thing that was wrong, or nothing.
  const char* play() {
    for (step_ = 0; step_ != with_.steps && wrong_ == nullptr; ++step_) {
      step();
      if (step_ % 16 == 0) check_sums();
      if (step_ % 1000 == 0) check_all();
      if (machine_.violations() != 0) say("the simulated device saw a race");
    }
    const std::size_t failed_at = step_;
    drain();
    check_all();
    step_ = failed_at;
    const device_stats now = gpu_->stats();
    seen.borrows = now.num_borrows;
    seen.waits_for_all = now.num_sync_all_streams;
    return wrong_;
  }
  [[nodiscard]] std::size_t at() const noexcept { return step_; }

  tally seen{};

 private:
  struct live {
    std::size_t size;
    std::size_t requested;
    std::size_t place;  // in addresses_
    std::size_t home;
    memory_class of;
  };
  using entry = typename std::map<std::size_t, live>::iterator;

  void say(const char* what) noexcept {
    if (wrong_ == nullptr) wrong_ = what;
  }
  std::size_t any(std::size_t n) { return random_() % n; }
  entry any_piece() { return live_.find(addresses_[any(addresses_.size())]); }
  static allocation piece(entry e) { return {reinterpret_cast<void*>(e->first), e->second.size}; }
  static bool is_large(std::size_t requested) { return align_up(requested, shape.granularity) > shape.small_most; }

  void step() {
    // more comes than goes, then the other way round
    const bool filling = step_ / 700 % 2 == 0;
    const std::size_t dice = any(1000);
    if (dice < 4) {
      rare();
    } else if (dice < 12) {
      must(device_.synchronize(streams_[any(stream_count)]));
    } else if (dice < 20) {
      machine_.complete(streams_[any(stream_count)]);
    } else if (live_.empty() || (live_.size() < with_.most_pieces && any(100) < (filling ? 60u : 40u))) {
      take(dice % 8 == 0);
    } else if (dice % 16 == 1) {
      use(any_piece(), any(stream_count));
    } else {
      give(any_piece(), dice % 8 == 2 ? any(stream_count) : stream_count);
    }
  }

  void rare() {
    switch (any(12)) {
      case 0:
        drain();
        take_everything();
        break;
      case 1: trim(); break;
      case 2: seen.trimmed += gpu_->trim(any(with_.capacity)); break;
      case 3: seen.trimmed += gpu_->trim_idle(any(2000)); break;
      case 4: gpu_->reset_peaks(); break;
      case 5: take_nonsense(); break;
      default: misuse(); break;
    }
  }

  device_request any_request() {
    device_request r{.bytes = any_size(random_, with_.most_bytes), .of = static_cast<memory_class>(any(memory_classes))};
    if (any(8) == 0) r.alignment = std::size_t{1} << any(23);
    return r;
  }

  void take(bool from_cache) {
    const std::size_t home = any(stream_count);
    const device_request r = any_request();
    const std::size_t calls = machine_.device_calls();
    const allocation a = from_cache ? gpu_->try_allocate(streams_[home], r) : gpu_->allocate(streams_[home], r);
    if (from_cache) {
      ++seen.tried;
      if (machine_.device_calls() != calls) say("try_allocate called the device");
    }
    if (a) return note(a, r, home);
    if (a.size != 0) say("a null allocation has a size");
    if (!from_cache) ++seen.refused;
  }

  void note(allocation a, const device_request& r, std::size_t home) {
    ++seen.granted;
    const std::size_t at = address_of(a.data);
    const std::size_t least = align_up(r.bytes, shape.granularity);
    const std::size_t slack = fixed && is_large(r.bytes) ? shape.small_most : 0;
    if (a.size < least || a.size > least + slack) say("a piece has the wrong size");
    if (at % std::max(r.alignment, shape.granularity) != 0) say("a piece is not aligned");
    const entry after = live_.lower_bound(at);
    if (after != live_.end() && at + a.size > after->first) say("a piece overlaps the next one");
    if (after != live_.begin() && std::prev(after)->first + std::prev(after)->second.size > at)
      say("a piece overlaps the one before it");
    if (wrong_ != nullptr) return gpu_->deallocate(streams_[home], a);
    live_.emplace_hint(after, at, live{a.size, r.bytes, addresses_.size(), home, r.of});
    addresses_.push_back(at);
    count(a.size, r.bytes, r.of, true);
    if (with_.race_check) must(device_.launch_write(streams_[home], a.data, a.size));
  }

  void count(std::size_t size, std::size_t requested, memory_class of, bool came) {
    ++(came ? came_ : went_);
    for (std::size_t* sum : {&bytes_[is_large(requested)], &of_class_[static_cast<std::size_t>(of)]})
      came ? *sum += size : *sum -= size;
    came ? requested_ += requested : requested_ -= requested;
  }

  /// Lets a stream wait for all that another has been given so far.
  void follow(std::size_t waits, std::size_t goes_first) {
    if (waits == goes_first) return;
    sim_device::event e{};
    must(device_.create_event(e));
    must(device_.record(e, streams_[goes_first]));
    must(device_.wait(streams_[waits], e));
    must(device_.destroy_event(e));
  }

  void use(entry e, std::size_t by) {
    follow(by, e->second.home);
    if (with_.race_check) must(device_.launch_read(streams_[by], piece(e).data, e->second.size));
    if (gpu_->record_stream(piece(e), streams_[by]) != errc::ok) say("a use was not noted");
    ++seen.uses;
  }

  /// Gives a piece back on a stream that is ordered behind its own; `stream_count` is without a word about streams.
  void give(entry e, std::size_t on) {
    const live gone = e->second;
    allocation a = piece(e);
    if (any(2) == 0) a.size = gone.requested;
    last_ = piece(e);
    if (on == stream_count) {
      if (any(2) == 0) {
        gpu_->deallocate(a);
      } else {
        gpu_->deallocate(streams_[gone.home], a);
      }
    } else {
      if (on != gone.home) ++seen.other_stream;
      follow(on, gone.home);
      gpu_->deallocate(streams_[on], a);
    }
    count(gone.size, gone.requested, gone.of, false);
    addresses_[gone.place] = addresses_.back();
    live_.find(addresses_.back())->second.place = gone.place;
    addresses_.pop_back();
    live_.erase(e);
  }

  void drain() {
    ++seen.drains;
    while (!live_.empty()) give(any_piece(), stream_count);
  }

  /// With nothing out all of the device can be had in one piece.
  void take_everything() {
    const std::size_t home = any(stream_count);
    const allocation a = gpu_->allocate(streams_[home], with_.capacity);
    // pages that several streams have free parts of are not given back, so only fixed segments promise this
    if (!a && !fixed) return;
    if (!a) return say("an empty allocator refused all of the device");
    if (a.size != with_.capacity) say("all of the device is more or less than was asked");
    note(a, {.bytes = with_.capacity}, home);
    if (gpu_->allocate(streams_[home], 1)) say("more was handed out than there is");
    ++seen.refused;
  }

  /// With nothing out nothing stays, whichever streams gave it back.
  void trim() {
    if (any(4) == 0) drain();
    seen.trimmed += gpu_->trim();
    const device_stats now = gpu_->stats();
    if (fixed && live_.empty() && now.pending_bytes == 0 && now.all.reserved_bytes.current != 0) say("trim left memory behind");
  }

  void take_nonsense() {
    const stream s = streams_[any(stream_count)];
    if (gpu_->allocate(s, 0) || gpu_->allocate(s, 100, 3) || gpu_->try_allocate(s, {.bytes = 0})) say("nonsense was granted");
    shortage why{};
    if (gpu_->allocate(s, {.bytes = with_.capacity + 1}, &why) || why.code != errc::too_large)
      say("more than the device has was not refused as too large");
  }

  /// Gives back what must not be given back: reported by its name, and nothing changes.
  void misuse() {
    const stream s = streams_[any(stream_count)];
    if (any(4) == 0) return misuse_again(s);
    if (live_.empty()) return;
    const entry e = any_piece();
    allocation a = piece(e);
    errc expected = errc::wrong_size;
    switch (any(3)) {
      case 0: a.size += 512; break;
      case 1:
        expected = a.size > 512 ? errc::interior_pointer : errc::wrong_size;
        a = a.size > 512 ? allocation{offset(a.data, 512), a.size - 512} : allocation{a.data, a.size + 1};
        break;
      default: a = {reinterpret_cast<void*>(0x1000), 512}, expected = errc::foreign_pointer; break;
    }
    const std::size_t before = failures_[expected];
    gpu_->deallocate(s, a);
    if (failures_[expected] != before + 1) say("a misuse was not reported by its name");
    if (expected != errc::wrong_size && gpu_->record_stream(a, s) != expected) say("a use of nothing was noted");
    ++seen.misuses;
  }

  /// Gives back twice what went last; its bytes may lie in another piece by now, or be the device's again.
  void misuse_again(stream s) {
    if (!last_) return;
    const std::size_t at = address_of(last_.data);
    const entry after = live_.upper_bound(at);
    if (after != live_.begin() && std::prev(after)->first == at) return;
    const bool inside = after != live_.begin() && at < std::prev(after)->first + std::prev(after)->second.size;
    const std::size_t interior = failures_[errc::interior_pointer];
    const std::size_t others = failures_[errc::double_free] + failures_[errc::foreign_pointer];
    gpu_->deallocate(s, last_);
    if (failures_[errc::interior_pointer] != interior + inside) say("a second free was taken for something else");
    if (failures_[errc::double_free] + failures_[errc::foreign_pointer] != others + !inside)
      say("a second free was not reported");
    ++seen.misuses;
  }

  void check_sums() {
    const device_stats now = gpu_->stats();
    const std::size_t out = bytes_[0] + bytes_[1];
    if (now.all.allocated_bytes.current != out) say("allocated_bytes is not what is out");
    if (now.small_pool.allocated_bytes.current != bytes_[0] || now.large_pool.allocated_bytes.current != bytes_[1])
      say("small and large pieces are mixed up");
    if (now.all.requested_bytes.current != requested_) say("requested_bytes is not what was asked");
    if (now.all.allocation.allocated != came_ || now.all.allocation.freed != went_) say("pieces are counted wrongly");
    if (now.all.active_bytes.current != out + now.pending_bytes) say("active_bytes is not what is out and pending");
    if (out + now.pending_bytes + now.cached_bytes != now.all.reserved_bytes.current) say("the sums do not add up");
    if (now.all.reserved_bytes.current != machine_.used()) say("reserved_bytes is not what the device gave");
    if (now.largest_free > now.cached_bytes || now.warm_bytes > now.cached_bytes) say("more is free than cached");
    for (const device_gauges* g : {&now.all, &now.small_pool, &now.large_pool})
      for (const gauge& one : {g->allocation, g->segment, g->active, g->inactive_split, g->allocated_bytes, g->reserved_bytes,
                               g->active_bytes, g->inactive_split_bytes, g->requested_bytes})
        if (one.allocated - one.freed != one.current || one.peak < one.current) say("a gauge disagrees with itself");
  }

  void check_all() {
    check_sums();
    if (!gpu_->is_valid()) say("is_valid says no");
    for (std::size_t k = 0; k != memory_classes; ++k)
      if (gpu_->owner(static_cast<std::uint16_t>(k)).current != of_class_[k]) say("a class holds something else");
    std::size_t found = 0;
    gpu_->for_each_piece([&](const device_segment& g, std::size_t at, std::size_t bytes, piece_state state) {
      if (state != piece_state::out) return;
      ++found;
      const entry e = live_.find(at);
      if (e == live_.end() || e->second.size != bytes || e->second.of != g.of) say("a piece is out that nobody holds");
    });
    if (found != live_.size()) say("pieces are missing");
  }

  template <class Status>
  void must(Status s) {
    if (!s) say("the simulated device refused a call of the program");
  }

  plan with_;
  std::mt19937_64 random_;
  failure_counter failures_;
  sim_machine machine_;
  sim_device device_;
  stream streams_[stream_count];
  caching_allocator<sim_device, Policy>* gpu_ = nullptr;
  std::map<std::size_t, live> live_;
  std::vector<std::size_t> addresses_;
  std::size_t bytes_[2] = {};
  std::size_t of_class_[memory_classes] = {};
  std::size_t requested_ = 0;
  std::size_t came_ = 0;
  std::size_t went_ = 0;
  allocation last_{};
  std::size_t step_ = 0;
  const char* wrong_ = nullptr;
};

template <class Policy>
tally play(const plan& with) {
  model<Policy> m(with);
  const char* const wrong = m.play();
  const std::uint64_t seed = with.seed;
  CAPTURE(seed, with.capacity, with.race_check, m.at());
  INFO((wrong == nullptr ? "" : wrong));
  CHECK(wrong == nullptr);
  CHECK(m.seen.granted > with.steps / 5);
  CHECK(m.seen.tried != 0);
  CHECK(m.seen.other_stream != 0);
  CHECK(m.seen.uses != 0);
  CHECK(m.seen.misuses != 0);
  CHECK(m.seen.trimmed != 0);
  return m.seen;
}

constexpr plan roomy{.capacity = 8 * GiB, .most_bytes = 32 * MiB, .most_pieces = 600};
constexpr plan scarce{.capacity = 96 * MiB, .most_bytes = 12 * MiB, .most_pieces = 300};

plan of(plan p, std::uint64_t seed, std::size_t steps, bool race_check) {
  p.seed = seed;
  p.steps = steps;
  p.race_check = race_check;
  return p;
}

template <segment_kind Kind>
void play_kind(std::uint64_t seed, std::size_t steps, bool race_check) {
  using plain = plain_policy<Kind>;
  using eager = plain_policy<Kind, borrowing::always>;
  play<plain>(of(roomy, seed, steps, race_check));
  const tally few = play<plain>(of(scarce, seed + 1, steps, race_check));
  CHECK(few.refused != 0);
  CHECK(few.borrows != 0);
  CHECK(few.waits_for_all != 0);
  CHECK(few.drains > 1);
  const tally shared = play<eager>(of(scarce, seed + 2, steps, race_check));
  CHECK(shared.borrows > few.borrows);
}

TEST_CASE("caching: random requests agree with a plain model", "[caching]") {
  const std::size_t steps = is_long() ? 4'166'667 : 66'667;
  SECTION("fixed segments") { play_kind<segment_kind::fixed>(11, steps, false); }
  SECTION("growable segments") { play_kind<segment_kind::growable>(21, steps, false); }
}

TEST_CASE("caching: random requests never race", "[caching]") {
  SECTION("fixed segments") { play_kind<segment_kind::fixed>(31, 6'667, true); }
  SECTION("growable segments") { play_kind<segment_kind::growable>(41, 6'667, true); }
}

// ---- threads ----------------------------------------------------------------------------------------------------------

template <segment_kind Kind>
struct shared_policy : default_caching_policy {
  static constexpr segment_kind kind_of(memory_class) noexcept { return Kind; }
};

/// Threads with a stream each, one allocator, and a shelf where they leave pieces for each other.
template <segment_kind Kind>
class crowd {
  static constexpr std::size_t threads = 8;
  static constexpr std::size_t pairs = 3000;

 public:
  crowd()
      : machine_(sim_options{.capacity = 32 * MiB, .backed = true, .one_host = true}), device_(machine_.device()),
        gpu_(new caching_allocator<sim_device, shared_policy<Kind>>(device_)) {
    for (stream& s : streams_) REQUIRE(device_.create_stream(s));
  }
  crowd(const crowd&) = delete;
  crowd& operator=(const crowd&) = delete;
  ~crowd() {
    delete gpu_;
    for (stream& s : streams_) CHECK(device_.destroy_stream(s));
    CHECK(machine_.violations() == 0);
    CHECK(machine_.is_clean());
  }

  void run(std::uint64_t seed) {
    CAPTURE(seed);
    std::vector<std::thread> all;
    for (std::size_t k = 0; k != threads; ++k) all.emplace_back([this, k, seed] { work(k, seed + k); });
    for (std::thread& t : all) t.join();
    CHECK(wrong_ == 0);
    CHECK(passed_ != 0);
    const device_stats before = gpu_->stats();
    std::size_t left = 0;
    for (const parcel& p : shelf_) left += p.piece.size;
    CHECK(before.all.allocated_bytes.current == left);
    CHECK(before.all.allocation.current == shelf_.size());
    CHECK(gpu_->is_valid());
    while (!shelf_.empty()) open_one(0);
    const device_stats now = gpu_->stats();
    CHECK(now.all.allocated_bytes.current == 0);
    CHECK(now.all.allocation.allocated == granted_);
    CHECK(now.all.allocation.freed == granted_);
    CHECK(now.all.allocated_bytes.allocated == bytes_);
    CHECK(now.all.allocated_bytes.freed == bytes_);
    CHECK(now.cached_bytes + now.pending_bytes == now.all.reserved_bytes.current);
    CHECK(now.all.reserved_bytes.current == machine_.used());
    CHECK(gpu_->is_valid());
    for (const stream& s : streams_) CHECK(device_.synchronize(s));
    static_cast<void>(gpu_->trim());
    const std::size_t kept = gpu_->stats().all.reserved_bytes.current;
    CHECK((Kind == segment_kind::growable || kept == 0));
    CHECK(machine_.used() == kept);
  }

 private:
  struct parcel {
    allocation piece;
    sim_device::event ready;
    std::uint64_t mark;
  };

  void expect(bool right) noexcept {
    if (!right) ++wrong_;
  }

  void work(std::size_t k, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (std::size_t n = 0; n != pairs; ++n) {
      const std::uint64_t mark = k << 32 | n;
      const allocation a = take(k, any_size(random, random() % 16 == 0 ? 3 * MiB : 64 * KiB), mark);
      const std::uint64_t next = random() % 4;
      if (a && next == 0) {
        leave(k, a, mark);
      } else if (a) {
        give(k, a, mark);
      }
      if (next == 1) open_one(k);
      if (next == 2 && random() % 64 == 0) static_cast<void>(gpu_->trim());
    }
  }

  allocation take(std::size_t k, std::size_t bytes, std::uint64_t mark) {
    const allocation a = gpu_->allocate(streams_[k], bytes);
    if (!a) return a;
    ++granted_;
    bytes_ += a.size;
    expect(device_.launch_write(streams_[k], a.data, a.size) ? true : false);
    // nobody else may hold the piece, so plain writes of both ends must not meet another thread's
    std::memcpy(a.data, &mark, sizeof mark);
    std::memcpy(offset(a.data, a.size - sizeof mark), &mark, sizeof mark);
    return a;
  }

  void give(std::size_t k, allocation a, std::uint64_t mark) {
    expect(std::memcmp(a.data, &mark, sizeof mark) == 0);
    expect(std::memcmp(offset(a.data, a.size - sizeof mark), &mark, sizeof mark) == 0);
    gpu_->deallocate(streams_[k], a);
  }

  void leave(std::size_t k, allocation a, std::uint64_t mark) {
    parcel p{a, {}, mark};
    expect(device_.create_event(p.ready) ? true : false);
    expect(device_.record(p.ready, streams_[k]) ? true : false);
    const std::lock_guard<std::mutex> hold(mutex_);
    shelf_.push_back(p);
  }

  /// Takes a piece that was left, lets the stream wait for it, and gives it back there, or on its own with a word of the use.
  void open_one(std::size_t k) {
    parcel p{};
    {
      const std::lock_guard<std::mutex> hold(mutex_);
      if (shelf_.empty()) return;
      std::swap(shelf_[shelf_.size() / 2], shelf_.back());
      p = shelf_.back();
      shelf_.pop_back();
    }
    ++passed_;
    expect(device_.wait(streams_[k], p.ready) ? true : false);
    expect(device_.destroy_event(p.ready) ? true : false);
    expect(device_.launch_read(streams_[k], p.piece.data, p.piece.size) ? true : false);
    if (p.mark % 4 != 0) return give(k, p.piece, p.mark);
    expect(gpu_->record_stream(p.piece, streams_[k]) == errc::ok);
    give(p.mark >> 32, p.piece, p.mark);
  }

  sim_machine machine_;
  sim_device device_;
  stream streams_[threads];
  caching_allocator<sim_device, shared_policy<Kind>>* gpu_;
  std::mutex mutex_;
  std::vector<parcel> shelf_;
  std::atomic<std::size_t> wrong_{0};
  std::atomic<std::size_t> passed_{0};
  std::atomic<std::size_t> granted_{0};
  std::atomic<std::size_t> bytes_{0};
};

TEST_CASE("caching: threads pass pieces between their streams", "[caching]") {
  SECTION("fixed segments") { crowd<segment_kind::fixed>().run(51); }
  SECTION("growable segments") { crowd<segment_kind::growable>().run(61); }
}

}  // namespace
