#include <tokenheap/kv/event.hpp>

#include <support/catch.hpp>

#include <vector>

#include <tokenheap/kv/event_ring.hpp>

namespace kv = tokenheap::kv;

TEST_CASE("event: a batch is read one by one, names and tokens included", "[kv][events]") {
  kv::event_ring ring;
  REQUIRE(ring.open(1024));
  for (std::uint32_t n = 0; n != 3; ++n) {
    const kv::event what{.kind = kv::event_kind::stored, .medium = kv::event_medium::storage, .at_root = true, .keyed = true,
                   .group = 9, .tenant = 8, .adapter = 7, .parent = {1, 2}, .block_tokens = 3};
    kv::detail::event_record* const out = ring.add(n, 3 * n);
    REQUIRE(out != nullptr);
    out->say(what);
    for (std::uint32_t k = 0; k != n; ++k) out->first_name()[k] = {n, k};
    for (std::uint32_t k = 0; k != 3 * n; ++k) out->first_token()[k] = 100 * n + k;
  }
  std::vector<unsigned char> room(1024);
  std::uint64_t from = 0;
  std::size_t need = 0;
  const std::size_t got = ring.read(from, room.data(), room.size(), need);
  CHECK(got == 64 + (64 + 16 + 16) + (64 + 32 + 24));

  kv::event_batch batch(room.data(), got);
  std::uint32_t seen = 0;
  for (const kv::event& e : batch) {
    CHECK(e.number == seen);
    CHECK((e.kind == kv::event_kind::stored && e.medium == kv::event_medium::storage && e.at_root && e.keyed));
    CHECK((e.group == 9 && e.tenant == 8 && e.adapter == 7 && e.parent == kv::hash128{1, 2} && e.block_tokens == 3));
    REQUIRE(e.names.size() == seen);
    REQUIRE(e.tokens.size() == 3 * seen);
    for (std::uint32_t k = 0; k != seen; ++k) CHECK(e.names[k] == kv::hash128{seen, k});
    for (std::uint32_t k = 0; k != 3 * seen; ++k) CHECK(e.tokens[k] == 100 * seen + k);
    ++seen;
  }
  CHECK(seen == 3);
  batch.take_first();
  CHECK(batch.first().number == 1);
  batch.take_first();
  batch.take_first();
  CHECK(batch.empty());
  CHECK(kv::event_batch{}.empty());
}
