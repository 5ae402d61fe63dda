#pragma once

// What the tests of the tables for kernels share: a batch of four rows, and how a refusal is read.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <support/catch.hpp>
#include <tokenheap/kv/page_table.hpp>

namespace tables_kit {

using ids = std::vector<tokenheap::kv::block_id>;
using numbers = std::vector<std::int32_t>;

/// Of 33, 0, 16 and 1 tokens in blocks of 16; the last row has a block ahead of its tokens.
inline const ids three{5, 9, 2}, one{7}, with_draft{1, 3};
inline const std::vector<tokenheap::kv::table_row> batch{{three, 33}, {{}, 0}, {one, 16}, {with_draft, 1}};

inline bool says(const tokenheap::failure& no, tokenheap::errc code, std::size_t need, std::size_t available) {
  char line[400];
  describe(no, line, sizeof line);
  INFO(line);
  CHECK(std::string(no.fix) != "");
  CHECK(std::string(no.pool) == "block table");
  CHECK(no.code == code);
  CHECK(no.need == need);
  CHECK(no.available == available);
  return no.code == code && no.need == need && no.available == available;
}

}  // namespace tables_kit
