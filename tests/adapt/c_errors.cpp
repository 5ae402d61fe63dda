#include <tokenheap/adapt/c_errors.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <string>
#include <thread>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

const failure sample{.code = errc::limit_reached, .pool = "mine", .what = "bytes", .need = 7, .available = 2, .limit = 5,
                     .address = &sample, .fix = "ask for less"};

}  // namespace

TEST_CASE("a refusal for C keeps numbers and texts when the pool that it names is gone") {
  {
    const std::string pool = "short-lived", fix(1000, 'x');
    failure f = sample;
    f.pool = pool.c_str();
    f.fix = fix.c_str();
    REQUIRE(c_refuse(f) == th_limit_reached);
  }
  const c_reason& last = c_last_reason();
  REQUIRE(std::string(last.pool) == "short-lived");
  REQUIRE(std::string(last.fix) == std::string(sizeof last.fix - 1, 'x'));
  REQUIRE((last.need == 7 && last.available == 2 && last.limit == 5 && last.address == &sample));
  REQUIRE(std::string(last.line).rfind("pool 'short-lived': limit reached: bytes; need 7, available 2, limit 5", 0) == 0);
  REQUIRE(std::strlen(last.line) == sizeof last.line - 1);
  REQUIRE(c_refuse(failure{}) == th_ok);
  REQUIRE(last.status == th_limit_reached);
}

TEST_CASE("each thread has its own last refusal for C") {
  static_cast<void>(c_refuse(sample));
  th_status seen = th_forked;
  std::thread([&] {
    seen = c_last_reason().status;
    static_cast<void>(c_refuse_null("a thing"));
  }).join();
  REQUIRE(seen == th_ok);
  REQUIRE(c_last_reason().status == th_limit_reached);
}

TEST_CASE("a bare errc gets the guard's words where the guard said the same, and the caller's otherwise") {
  const failure otherwise{.pool = "other", .what = "a call"};
  std::uint64_t noted = c_noted();
  REQUIRE(c_answer(errc::ok, noted, otherwise) == th_ok);
  c_misuse{}.on_misuse(sample);
  REQUIRE(c_answer(errc::limit_reached, noted, otherwise) == th_limit_reached);
  REQUIRE(std::string(c_last_reason().pool) == "mine");
  REQUIRE(c_answer(errc::in_use, noted, otherwise) == th_in_use);
  REQUIRE(std::string(c_last_reason().pool) == "other");
  noted = c_noted();
  REQUIRE(c_answer(errc::in_use, noted, sample) == th_in_use);
  REQUIRE(std::string(c_last_reason().pool) == "mine");
}

TEST_CASE("a call without an answer is judged by what its guard said") {
  REQUIRE(c_checked([] {}) == th_ok);
  REQUIRE(c_checked([] { c_misuse{}.on_misuse(sample); }) == th_limit_reached);
  REQUIRE(c_checked([] {}) == th_ok);
}

TEST_CASE("a refusal for C can have a longer line than its numbers make") {
  REQUIRE(c_refuse(sample, "all that there is to say") == th_limit_reached);
  REQUIRE(std::string(c_last_reason().line) == "all that there is to say");
  REQUIRE(c_last_reason().need == 7);
}
