#include <tokenheap/adapt/c_status_symbols.hpp>

#include <support/catch.hpp>

#include <string>

using namespace tokenheap;

TEST_CASE("every reason of the library has the same number, words and code in C") {
  for (const error_code& e : error_codes) {
    const th_status status = adapt::c_status_of(e.reason);
    REQUIRE(std::string(th_status_text(status)) == to_text(e.reason));
    REQUIRE(std::string(th_status_code(status)) == e.code);
    REQUIRE(std::stoi(std::string(e.code).substr(1)) == static_cast<int>(status));
  }
  const int version = 1000000 * library_version.major_number + 1000 * library_version.minor_number + library_version.patch_number;
  REQUIRE(static_cast<int>(th_version()) == version);
}

TEST_CASE("the last failure of C is the last refusal of the thread, as far as the struct goes") {
  static_cast<void>(adapt::c_refuse({.code = errc::too_large, .pool = "p", .what = "w", .need = 9, .limit = 8, .fix = "f"}));
  th_failure out{};
  out.size = 24;
  out.version = TOKENHEAP_C_VERSION;
  REQUIRE(th_last_failure(&out) == th_ok);
  REQUIRE((out.status == th_too_large && out.need == 9 && out.limit == 0 && out.pool == nullptr));
  out.size = sizeof out;
  REQUIRE(th_last_failure(&out) == th_ok);
  REQUIRE((out.limit == 8 && std::string(out.pool) == "p" && std::string(out.what) == "w" && std::string(out.fix) == "f"));
  out.version = 9;
  REQUIRE(th_last_failure(&out) == th_unsupported);
  REQUIRE(std::string(th_last_error()) == "pool 'p': too large: w; need 9, available 0, limit 8; fix: f");
}
