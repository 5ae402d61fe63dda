#include <tokenheap/adapt/c_requests.hpp>

#include <support/catch.hpp>

#include <string>

using namespace tokenheap;

namespace {

th_sequence_options fresh() {
  th_sequence_options with{};
  with.size = sizeof with;
  with.version = TOKENHEAP_C_VERSION;
  return with;
}

}  // namespace

TEST_CASE("what C says of a request is what the library hears, and 0 is its default") {
  const kv::sequence_options same{};
  kv::sequence_options out;
  REQUIRE(adapt::c_read_sequence(nullptr, out) == th_ok);
  REQUIRE((out.share == same.share && out.read_cache && out.recompute_last && !out.partial && out.fit == same.fit));
  auto with = fresh();
  with.salt = "salt", with.salt_bytes = 4, with.adapter = 5, with.tenant = 6, with.share = th_share_process;
  with.no_read_cache = 1, with.reuse_last = 1, with.partial = 1, with.admit = th_admit_reserved;
  with.lookahead = 7, with.expected_tokens = 8;
  REQUIRE(adapt::c_read_sequence(&with, out) == th_ok);
  REQUIRE((out.key.salt == with.salt && out.key.salt_bytes == 4 && out.key.adapter == 5 && out.key.tenant == 6));
  REQUIRE((out.share == kv::share_scope::process && !out.read_cache && !out.recompute_last && out.partial));
  REQUIRE((out.fit == kv::admit::reserved && out.lookahead == 7 && out.expected_tokens == 8));
  with.share = th_share_request;
  REQUIRE(adapt::c_read_sequence(&with, out) == th_ok);
  REQUIRE(out.share == kv::share_scope::request);
  with.share = 3;
  REQUIRE(adapt::c_read_sequence(&with, out) == th_invalid_argument);
  with.share = 0;
  with.admit = 3;
  REQUIRE(adapt::c_read_sequence(&with, out) == th_invalid_argument);
}

TEST_CASE("options of a C sequence that make no sense are refused by name") {
  th_pool_options few{};
  few.blocks = 8;
  auto* const made = new adapt::c_pool_of<false, false>(few, nullptr);
  REQUIRE(made->open(few).code == errc::ok);
  th_pool* const pool = adapt::c_hand_out<th_pool>(static_cast<adapt::c_pool*>(made));
  const std::uint32_t prompt[] = {1, 2, 3};
  auto with = fresh();
  with.salt_bytes = 4;
  REQUIRE(adapt::c_question(pool, prompt, 3, &with).pool == nullptr);
  REQUIRE(std::string(adapt::c_last_reason().fix) == "give the bytes of the salt, or no salt");
  with.salt = "user";
  with.tenant = ~0u;
  REQUIRE(adapt::c_question(pool, prompt, 3, &with).pool == nullptr);
  with.tenant = 1;
  REQUIRE(adapt::c_question(pool, nullptr, 3, &with).pool == nullptr);
  REQUIRE(std::string(adapt::c_last_reason().what) == "tokens of a prompt");
  const adapt::c_question asked(pool, prompt, 3, &with);
  REQUIRE((asked.pool == made && asked.prompt.size() == 3 && asked.with.key.tenant == 1));
  REQUIRE(adapt::c_close<adapt::c_pool>(pool, "kv") == th_ok);
}
