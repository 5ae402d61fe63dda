#include <tokenheap/device/sim_ordering.hpp>

#include <support/catch.hpp>

#include <thread>

#include <tokenheap/device/sim.hpp>

using namespace tokenheap;
using enum device_error;

namespace {

struct two_streams {
  sim_machine machine;
  sim_device d = machine.device();
  sim_stream a;
  sim_stream b;
  sim_event e{};
  void* p = nullptr;

  explicit two_streams(const sim_options& chosen = {}) : machine(chosen) {
    REQUIRE(d.create_stream(a));
    REQUIRE(d.create_stream(b));
    REQUIRE(d.create_event(e));
    REQUIRE(d.allocate(4096, p));
  }
  void expect_races(std::size_t n) const {
    REQUIRE(machine.violations() == n);
    for (std::size_t k = 0; k != n; ++k) REQUIRE(machine.violation(k).kind == sim_wrong::race);
  }
};

}  // namespace

TEST_CASE("two streams race unless something orders them", "[device]") {
  two_streams t;
  const int how = GENERATE(range(0, 10));
  CAPTURE(how);
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  std::size_t races = 0;
  switch (how) {
    case 0: races = 1; break;
    case 1: REQUIRE((t.d.record(t.e, t.a) && t.d.wait(t.b, t.e))); break;
    case 2: REQUIRE(t.d.record(t.e, t.a)); races = 1; break;
    case 3: REQUIRE(t.d.wait(t.b, t.e)); races = 1; break;  // never recorded
    case 4: REQUIRE(t.d.synchronize(t.a)); break;
    case 5: REQUIRE(t.d.synchronize(t.b)); races = 1; break;
    case 6: REQUIRE(t.d.synchronize()); break;
    case 7: REQUIRE((t.d.record(t.e, t.a) && t.d.synchronize_event(t.e))); break;
    case 8: REQUIRE((t.d.record(t.e, t.a) && t.d.query_event(t.e).error == not_ready)); races = 1; break;
    case 9:
      // recorded again on another stream: the event means that one now
      REQUIRE((t.d.record(t.e, t.a) && t.d.record(t.e, t.b) && t.d.synchronize_event(t.e))); races = 1;
      break;
    default: break;
  }
  REQUIRE(t.d.launch_read(t.b, t.p, 512));
  t.expect_races(races);
  if (races == 0) return;
  const sim_violation v = t.machine.violation();
  REQUIRE((v.address == address_of(t.p) && v.bytes == 512));
  REQUIRE((v.first.id == t.a.id && v.first.writes && !v.first.is_host));
  REQUIRE((v.second.id == t.b.id && !v.second.writes && v.second.call == static_cast<std::uint8_t>(sim_call::launch)));
}

TEST_CASE("an event takes the work before it, not the work behind it", "[device]") {
  two_streams t;
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  REQUIRE(t.d.record(t.e, t.a));
  REQUIRE(t.d.launch_write(t.a, offset(t.p, 512), 512));
  REQUIRE(t.d.wait(t.b, t.e));
  REQUIRE(t.d.launch_read(t.b, t.p, 512));
  t.expect_races(0);
  REQUIRE(t.d.launch_read(t.b, offset(t.p, 512), 512));
  t.expect_races(1);
}

TEST_CASE("order passes through a third stream, and through a host that waited", "[device]") {
  two_streams t;
  sim_stream c;
  sim_event f{};
  REQUIRE((t.d.create_stream(c) && t.d.create_event(f)));
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  REQUIRE((t.d.record(t.e, t.a) && t.d.wait(t.b, t.e) && t.d.record(f, t.b) && t.d.wait(c, f)));
  REQUIRE(t.d.launch_write(c, t.p, 512));
  t.expect_races(0);
}

TEST_CASE("a query is open until somebody waited or said so, and then for good", "[device]") {
  two_streams t;
  REQUIRE(t.d.query(t.a));
  REQUIRE(t.d.query_event(t.e));  // never recorded: complete
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  REQUIRE(t.d.record(t.e, t.a));
  REQUIRE(t.d.query(t.a).error == not_ready);
  REQUIRE(t.d.query_event(t.e).error == not_ready);
  const bool waits = GENERATE(false, true);
  if (waits) {
    REQUIRE(t.d.synchronize(t.a));
  } else {
    t.machine.complete(t.a);
  }
  const bool asks = GENERATE(false, true);
  if (asks) REQUIRE((t.d.query(t.a) && t.d.query_event(t.e)));
  // that it is done orders nothing until the host has seen it
  REQUIRE(t.d.launch_write(t.b, t.p, 512));
  t.expect_races(waits || asks ? 0 : 1);
  REQUIRE(t.d.launch_write(t.a, offset(t.p, 1024), 512));
  REQUIRE(t.d.query(t.a).error == not_ready);
  REQUIRE(t.d.query_event(t.e));
}

TEST_CASE("hooks decide what a query answers, and only where it is open", "[device]") {
  struct oracle {
    bool answer = false;
    int asked = 0;
  } o;
  const sim_hooks hooks{.user = &o, .is_done = [](void* user) noexcept {
                          ++static_cast<oracle*>(user)->asked;
                          return static_cast<oracle*>(user)->answer;
                        }};
  two_streams t;
  set_sim_hooks(&hooks);
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  REQUIRE(t.d.record(t.e, t.a));
  REQUIRE(t.d.query_event(t.e).error == not_ready);
  REQUIRE(o.asked == 1);
  o.answer = true;
  REQUIRE(t.d.query_event(t.e));
  REQUIRE(o.asked == 2);
  REQUIRE(t.d.query_event(t.e));
  REQUIRE(t.d.query(t.a));
  set_sim_hooks(nullptr);
  REQUIRE(o.asked == 2);
  REQUIRE(t.d.launch_write(t.b, t.p, 512));
  t.expect_races(0);
}

TEST_CASE("the legacy default stream is ordered with blocking streams on both sides, and with no other", "[device]") {
  two_streams t;
  sim_stream free_one;
  REQUIRE(t.d.create_stream_nonblocking(free_one));
  const sim_stream legacy = t.d.legacy();
  REQUIRE(legacy.handle == 0);
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  REQUIRE(t.d.launch_write(legacy, t.p, 512));
  REQUIRE(t.d.launch_write(t.b, t.p, 512));
  t.expect_races(0);
  REQUIRE(t.d.launch_read(free_one, t.p, 512));
  t.expect_races(1);
  REQUIRE(t.d.launch_write(legacy, t.p, 512));
  t.expect_races(2);
}

TEST_CASE("waiting for the legacy default stream waits for blocking streams", "[device]") {
  two_streams t;
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  REQUIRE(t.d.query(t.d.legacy()).error == not_ready);
  REQUIRE(t.d.synchronize(t.d.legacy()));
  REQUIRE(t.d.query(t.a));
}

TEST_CASE("per-thread default streams have one handle and an identity in each thread", "[device]") {
  two_streams t;
  const sim_stream mine = t.d.per_thread();
  sim_stream theirs;
  std::thread([&] {
    theirs = t.d.per_thread();
    (void)t.d.launch_write(theirs, t.p, 512);
  }).join();
  REQUIRE((mine.handle == theirs.handle && mine.id != theirs.id));
  REQUIRE(t.d.per_thread() == mine);
  REQUIRE(t.machine.violations() == 0);
  REQUIRE(t.d.launch_write(mine, t.p, 512));
  t.expect_races(1);
  // here the handle means my stream, whatever was meant
  REQUIRE(t.d.record(t.e, theirs));
  REQUIRE(t.machine.violation(1).kind == sim_wrong::stale_stream);
  REQUIRE(t.machine.is_clean() == false);
}

TEST_CASE("a handle is given again, and then it means the new stream", "[device]") {
  two_streams t;
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  REQUIRE(t.d.destroy_stream(t.a));
  SECTION("before: nobody is there") {
    REQUIRE(t.d.record(t.e, t.a).error == invalid_handle);
    REQUIRE(t.machine.violation().kind == sim_wrong::dead_stream);
  }
  SECTION("after: the wrong one answers") {
    sim_stream next;
    REQUIRE(t.d.create_stream(next));
    REQUIRE((next.handle == t.a.handle && next != t.a));
    REQUIRE(t.d.record(t.e, t.a));
    REQUIRE(t.machine.violation().kind == sim_wrong::stale_stream);
    sim_stream who;
    REQUIRE(t.d.identify(t.a.handle, who));
    REQUIRE(who == next);
    // the event took no work of the old stream
    REQUIRE(t.d.wait(t.b, t.e));
    REQUIRE(t.d.launch_read(t.b, t.p, 512));
    REQUIRE(t.machine.violations() == 2);
    REQUIRE(t.machine.violation(1).kind == sim_wrong::race);
  }
}

TEST_CASE("destroying a stream does not wait for its work", "[device]") {
  two_streams t;
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  REQUIRE(t.d.destroy_stream(t.a));
  const bool waits = GENERATE(false, true);
  if (waits) REQUIRE(t.d.synchronize());
  REQUIRE(t.d.launch_write(t.b, t.p, 512));
  t.expect_races(waits ? 0 : 1);
}

TEST_CASE("events that were destroyed are no events", "[device]") {
  two_streams t;
  REQUIRE(t.d.destroy_event(t.e));
  REQUIRE(t.d.record(t.e, t.a).error == invalid_handle);
  REQUIRE(t.d.wait(t.a, t.e).error == invalid_handle);
  REQUIRE(t.d.query_event(t.e).error == invalid_handle);
  REQUIRE(t.d.synchronize_event(t.e).error == invalid_handle);
  REQUIRE(t.d.destroy_event(t.e).error == invalid_handle);
  sim_event next{};
  REQUIRE(t.d.create_event(next));
  REQUIRE(next != t.e);
  REQUIRE(t.d.query_event(t.e).error == invalid_handle);
  REQUIRE(t.machine.violations() == 6);
  REQUIRE(t.machine.violation(5).kind == sim_wrong::dead_event);
}

TEST_CASE("an event belongs to its device; a wait crosses devices", "[device]") {
  two_streams t({.devices = 2});
  sim_device other = t.machine.device(1);
  sim_stream far;
  REQUIRE(other.create_stream(far));
  REQUIRE(other.record(t.e, far).error == invalid_handle);
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  const bool waits = GENERATE(false, true);
  REQUIRE(t.d.record(t.e, t.a));
  if (waits) REQUIRE(other.wait(far, t.e));
  REQUIRE(other.launch_read(far, t.p, 512));
  t.expect_races(waits ? 0 : 1);
  REQUIRE(other.launch_read(t.a, t.p, 512).error == invalid_handle);
}

TEST_CASE("default streams cannot be destroyed", "[device]") {
  two_streams t;
  REQUIRE(t.d.destroy_stream(t.d.legacy()).error == invalid_handle);
  REQUIRE(t.d.destroy_stream(t.d.per_thread()).error == invalid_handle);
}

TEST_CASE("what a capture forbids breaks it", "[device]") {
  two_streams t;
  REQUIRE(t.d.begin_capture(t.a));
  bool capturing = false;
  REQUIRE((t.d.is_capturing(t.a, capturing) && capturing));
  REQUIRE((t.d.is_capturing(t.b, capturing) && !capturing));
  REQUIRE(t.d.record(t.e, t.a));
  const int what = GENERATE(range(0, 13));
  CAPTURE(what);
  void* q = nullptr;
  device_status s;
  switch (what) {
    case 0: s = t.d.query(t.a); break;
    case 1: s = t.d.synchronize(t.a); break;
    case 2: s = t.d.query_event(t.e); break;
    case 3: s = t.d.synchronize_event(t.e); break;
    case 4: s = t.d.synchronize(); break;
    case 5: s = t.d.deallocate(t.p); break;
    case 6: s = t.d.allocate(512, q); break;
    case 7: s = t.d.launch_write(t.d.legacy(), t.p, 512); break;
    case 8: s = t.d.record(t.e, t.d.legacy()); break;
    case 9: s = t.d.synchronize(t.b); break;
    case 10: std::thread([&] { s = t.d.synchronize(t.b); }).join(); break;
    case 11: std::thread([&] { s = t.d.allocate(512, q); }).join(); break;
    default: s = t.d.allocate_pinned(512, q); break;
  }
  REQUIRE(s.error == capture_refused);
  REQUIRE(q == nullptr);
  REQUIRE(t.d.launch_write(t.a, t.p, 512).error == capture_broken);
  REQUIRE(t.d.end_capture(t.a).error == capture_broken);
  // after the end the stream works again
  REQUIRE((t.d.is_capturing(t.a, capturing) && !capturing));
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  REQUIRE(t.d.synchronize(t.a));
  REQUIRE(t.machine.violations() == 0);
}

TEST_CASE("what a capture allows leaves it whole", "[device]") {
  two_streams t;
  sim_stream side;
  sim_event f{};
  REQUIRE(t.d.create_stream(side));
  REQUIRE(t.d.begin_capture(t.a));
  REQUIRE(t.d.create_event(f));
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  // work elsewhere runs, and races with nothing: what is captured does not run
  REQUIRE(t.d.launch_write(side, t.p, 512));
  REQUIRE((t.d.record(t.e, t.a) && t.d.wait(t.b, t.e) && t.d.launch_write(t.b, t.p, 512)));
  bool capturing = false;
  REQUIRE((t.d.is_capturing(t.b, capturing) && capturing));
  const bool joins = GENERATE(false, true);
  if (joins) REQUIRE((t.d.record(f, t.b) && t.d.wait(t.a, f)));
  REQUIRE(t.d.end_capture(t.a).error == (joins ? ok : capture_refused));
  REQUIRE((t.d.is_capturing(t.b, capturing) && !capturing));
  REQUIRE(t.machine.violations() == 0);
  // an event of a capture stays one until it is recorded again
  REQUIRE(t.d.query_event(t.e).error == capture_refused);
  REQUIRE(t.d.wait(t.a, t.e).error == capture_refused);
  REQUIRE((t.d.record(t.e, t.a) && t.d.query_event(t.e)));
}

TEST_CASE("captures and the rest of the world do not wait for each other", "[device]") {
  two_streams t;
  sim_event f{};
  REQUIRE(t.d.create_event(f));
  REQUIRE(t.d.launch_write(t.b, t.p, 512));
  REQUIRE(t.d.record(f, t.b));
  REQUIRE(t.d.begin_capture(t.a));
  SECTION("a wait for an event from outside") { REQUIRE(t.d.wait(t.a, f).error == capture_refused); }
  SECTION("two captures") {
    REQUIRE(t.d.begin_capture(t.b));
    REQUIRE(t.d.record(t.e, t.b));
    REQUIRE(t.d.wait(t.a, t.e).error == capture_refused);
    REQUIRE(t.d.end_capture(t.b).error == capture_broken);
  }
  SECTION("the end on another stream") {
    REQUIRE((t.d.record(t.e, t.a) && t.d.wait(t.b, t.e)));
    REQUIRE(t.d.end_capture(t.b).error == capture_refused);
  }
  SECTION("a stream of it is destroyed") {
    REQUIRE((t.d.record(t.e, t.a) && t.d.wait(t.b, t.e)));
    REQUIRE(t.d.destroy_stream(t.b));
  }
  REQUIRE(t.d.end_capture(t.a).error == capture_broken);
}

TEST_CASE("a capture has a beginning and an end", "[device]") {
  two_streams t;
  REQUIRE(t.d.end_capture(t.a).error == invalid_value);
  REQUIRE(t.d.begin_capture(t.d.legacy()).error == capture_refused);
  REQUIRE(t.d.begin_capture(t.a));
  REQUIRE(t.d.begin_capture(t.a).error == capture_refused);
  device_status s;
  std::thread([&] { s = t.d.end_capture(t.a); }).join();
  REQUIRE(s.error == capture_refused);
  SECTION("by the thread that began it") { REQUIRE(t.d.end_capture(t.a)); }
  SECTION("by the loss of its stream") {
    REQUIRE(t.d.destroy_stream(t.a));
    void* q = nullptr;
    REQUIRE(t.d.allocate(512, q));
  }
}

TEST_CASE("who relaxes may allocate while others capture", "[device]") {
  const int how = GENERATE(0, 1, 2, 3);
  CAPTURE(how);
  two_streams t({.allocates_in_capture = how == 2});
  REQUIRE(t.d.begin_capture(t.a, how == 3 ? sim_capture_mode::relaxed : sim_capture_mode::global));
  if (how == 1) REQUIRE(t.d.exchange_capture_mode(sim_capture_mode::relaxed) == sim_capture_mode::global);
  void* q = nullptr;
  REQUIRE(t.d.allocate(512, q).error == (how == 0 ? capture_refused : ok));
  REQUIRE(t.d.end_capture(t.a).error == (how == 0 ? capture_broken : ok));
}
