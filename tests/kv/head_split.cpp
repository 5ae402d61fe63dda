#include <tokenheap/kv/head_split.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace kv = tokenheap::kv;
using tokenheap::errc;

TEST_CASE("every head has a rank, and with fewer heads than ranks as many ranks as all others", "[kv][head_split]") {
  for (std::size_t heads = 1; heads <= 16; ++heads) {
    for (std::size_t ranks = 1; ranks <= 64; ++ranks) {
      const kv::head_split split{heads, ranks};
      if (split.why_not().code != errc::ok) {
        CHECK((heads % ranks != 0 && ranks % heads != 0));
        continue;
      }
      std::vector<std::size_t> holders(heads);
      for (std::size_t rank = 0; rank < ranks; ++rank) {
        const kv::rank_heads mine = split.heads_of(rank);
        CHECK(mine.count == std::max<std::size_t>(1, heads / ranks));
        REQUIRE(mine.first + mine.count <= heads);
        for (std::size_t h = 0; h < mine.count; ++h) ++holders[mine.first + h];
      }
      for (const std::size_t n : holders) CHECK(n == split.copies());
    }
  }
}

TEST_CASE("ranks beyond the heads make the whole larger", "[kv][head_split]") {
  constexpr kv::layout llama{.layers = 80, .kv_heads = 8, .head_size = 128, .type = kv::dtype::bfloat16};
  static_assert(kv::layout_of_rank(llama, 8).token_bytes() * 8 == llama.token_bytes());
  static_assert(kv::layout_of_rank(llama, 16).token_bytes() * 16 == 2 * llama.token_bytes());
  // a latent vector is one head
  constexpr kv::layout latent{.layers = 61, .kv_heads = 1, .head_size = 576, .planes = 1};
  static_assert(kv::layout_of_rank(latent, 8).token_bytes() == latent.token_bytes());
  kv::layout strided = llama;
  strided.steps.block = 2 * llama.block_bytes();
  CHECK(kv::layout_of_rank(strided, 4).block_stride() == llama.block_bytes() / 4);
}

TEST_CASE("ranks that do not divide are refused", "[kv][head_split][bad]") {
  for (const kv::head_split split : {kv::head_split{8, 3}, {8, 12}, {8, 0}, {0, 8}, {3, 2}}) {
    const auto why = split.why_not("pool name");
    CHECK(why.code == errc::invalid_argument);
    CHECK(why.need == split.ranks);
    CHECK(std::string(why.pool) == "pool name");
    CHECK(std::string(why.fix) != "");
  }
}
