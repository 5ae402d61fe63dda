#include <tokenheap/kv/block_memory.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <vector>

namespace kv = tokenheap::kv;

TEST_CASE("blocks with gaps between them are found, and the gaps stay as they are", "[kv][memory]") {
  kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 8, .type = kv::dtype::float32, .block_tokens = 2};
  shape.steps.block = shape.block_bytes() + 64;
  std::vector<unsigned char> bytes(shape.tensor_bytes(3), 7);
  kv::block_memory memory;
  memory.place() = {.data = bytes.data(), .bytes = bytes.size(), .cpu_accessible = true, .shape = shape};
  CHECK(memory.address(2) == bytes.data() + bytes.size() - shape.block_bytes());
  std::memset(memory.address(0), 9, shape.block_bytes());
  memory.copy(0, 2);
  const kv::block_id ids[] = {1};
  memory.wipe(ids, 1);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const std::size_t block = at / shape.steps.block, in = at % shape.steps.block;
    REQUIRE(bytes[at] == (in >= shape.block_bytes() ? 7 : block == 1 ? 0 : 9));
  }
}

TEST_CASE("blocks are found, copied and wiped by the CPU, or by the callbacks", "[kv][memory]") {
  const kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 8, .type = kv::dtype::float32, .block_tokens = 2};
  std::vector<unsigned char> bytes(3 * shape.block_bytes(), 7);
  kv::block_memory memory;
  memory.open({.blocks = 3});
  CHECK_FALSE(memory.can_copy());
  CHECK(memory.address(1) == nullptr);
  memory.place() = {.data = bytes.data(), .bytes = bytes.size(), .cpu_accessible = true, .shape = shape};
  CHECK((memory.can_copy() && memory.can_wipe()));
  CHECK(memory.address(2) == bytes.data() + 2 * shape.block_bytes());
  std::memset(memory.address(1), 9, shape.block_bytes());
  memory.copy(1, 2);
  CHECK(std::memcmp(memory.address(1), memory.address(2), shape.block_bytes()) == 0);
  const kv::block_id ids[] = {0, 2};
  memory.wipe(ids, 2);
  CHECK(bytes[0] == 0);
  CHECK(bytes[shape.block_bytes() - 1] == 0);
  CHECK(bytes[shape.block_bytes()] == 9);
  CHECK(bytes.back() == 0);

  struct calls {
    int copies = 0;
    std::size_t wiped = 0;
  } seen;
  kv::block_memory device;
  device.open(
      {.blocks = 3,
       .copy = {[](void* user, kv::block_id, kv::block_id) noexcept { ++static_cast<calls*>(user)->copies; }, &seen},
       .wipe = {[](void* user, const kv::block_id*, std::size_t n) noexcept { static_cast<calls*>(user)->wiped += n; },
                &seen}});
  CHECK((device.can_copy() && device.can_wipe()));
  device.copy(0, 1);
  device.wipe(ids, 2);
  CHECK(seen.copies == 1);
  CHECK(seen.wiped == 2);
}
