#include <tokenheap/adapt/dlpack.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <utility>
#include <vector>

#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

// the interface as DLPack 0.6 and 1.0 lay it out
enum dl_device_type : int { dl_host = 1, dl_cuda = 2 };
struct dl_device {
  dl_device_type device_type;
  std::int32_t device_id;
};
struct dl_number {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};
struct dl_tensor_type {
  void* data;
  dl_device device;
  std::int32_t ndim;
  dl_number dtype;
  std::int64_t *shape, *strides;
  std::uint64_t byte_offset;
};
struct managed {
  dl_tensor_type dl_tensor;
  void* manager_ctx;
  void (*deleter)(managed*);
};
struct dl_version {
  std::uint32_t major, minor;
};
struct managed_versioned {
  dl_version version;
  void* manager_ctx;
  void (*deleter)(managed_versioned*);
  std::uint64_t flags;
  dl_tensor_type dl_tensor;
};

/// Where a consumer finds a number.
const unsigned char* find(const dl_tensor_type& t, std::initializer_list<std::int64_t> index) {
  std::int64_t at = 0;
  int k = 0;
  for (const std::int64_t i : index) at += i * t.strides[k++];
  return static_cast<const unsigned char*>(t.data) + at * (t.dtype.bits / 8);
}

}  // namespace

TEST_CASE("each number of each block is where the layout has it") {
  const auto order = GENERATE(kv::axis_order::nhd, kv::axis_order::hnd);
  const auto type = GENERATE(kv::dtype::float32, kv::dtype::bfloat16, kv::dtype::float8, kv::dtype::int4);
  const bool scaled = kv::bits_of(type) <= 8;
  kv::layout shape{.layers = 3, .kv_heads = 2, .head_size = 8, .type = type, .block_tokens = 4, .order = order};
  if (scaled) shape.scales = {.per = kv::scale_per::token_head, .type = kv::scale_type::float32, .place = kv::scale_place::page};
  constexpr std::size_t blocks = 5;
  std::vector<unsigned char> memory(shape.tensor_bytes(blocks));
  for (std::size_t layer = 0; layer != 3; ++layer) {
    for (std::size_t plane = 0; plane != 2; ++plane) {
      const auto view = plane_of_blocks(shape, memory.data(), blocks, layer, plane);
      REQUIRE(view);
      auto* const m = to_dlpack<managed>(*view);
      REQUIRE(m != nullptr);
      const dl_tensor_type& t = m->dl_tensor;
      CHECK(t.ndim == 4);
      CHECK(t.shape[0] == 5);
      CHECK(t.shape[order == kv::axis_order::nhd ? 1 : 2] == 4);
      CHECK(t.shape[order == kv::axis_order::nhd ? 2 : 1] == 2);
      CHECK(t.shape[3] == (type == kv::dtype::int4 ? 4 : 8));
      for (std::int64_t b = 0; b != 5; ++b) {
        for (std::int64_t token = 0; token != 4; ++token) {
          for (std::int64_t head = 0; head != 2; ++head) {
            const kv::element e{layer, plane, static_cast<std::size_t>(head), static_cast<std::size_t>(token)};
            const auto place = shape.place_of(static_cast<std::size_t>(b), e);
            const auto* const there = order == kv::axis_order::nhd ? find(t, {b, token, head, 0}) : find(t, {b, head, token, 0});
            CHECK(there == memory.data() + place.offset);
          }
        }
      }
      m->deleter(m);
    }
  }
}

TEST_CASE("a plane of a pool's block is the block's own memory, and the consumer's end is told once") {
  host_source heap;
  const kv::layout shape{.layers = 2, .kv_heads = 1, .head_size = 4, .type = kv::dtype::float32, .block_tokens = 2};
  auto pool = kv::block_pool<>::open({.blocks = 8, .block_tokens = 2}, shape, heap);
  REQUIRE(pool);
  const auto view = plane_of_blocks(shape, pool->data(0), 8, 1, 1);
  REQUIRE(view);
  const tensor_view one = plane_of_block(*view, 6);
  CHECK(one.data == static_cast<unsigned char*>(static_cast<void*>(pool->data(6))) + shape.offset_of({1, 1, 0, 0}));
  CHECK(one.axes == 3);
  CHECK(one.shape[0] == 2);
  CHECK(one.shape[2] == 4);
  int ends = 0;
  auto* const m = to_dlpack<managed_versioned>(one, &ends, [](void* count) { ++*static_cast<int*>(count); });
  REQUIRE(m != nullptr);
  CHECK(m->version.major == 1);
  CHECK(m->flags == 0);
  CHECK(m->dl_tensor.device.device_type == dl_host);
  CHECK(m->dl_tensor.dtype.code == 2);
  CHECK(ends == 0);
  m->deleter(m);
  CHECK(ends == 1);
}

TEST_CASE("only the versioned type says that a tensor is not to be written") {
  float numbers[8] = {};
  const kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 2, .type = kv::dtype::float32, .block_tokens = 2};
  auto view = plane_of_blocks(shape, numbers, 1, 0, 0, {.type = 2, .id = 3});
  REQUIRE(view);
  view->read_only = true;
  CHECK(to_dlpack<managed>(*view) == nullptr);
  auto* const m = to_dlpack<managed_versioned>(*view);
  REQUIRE(m != nullptr);
  CHECK(m->flags == 1);
  CHECK(m->dl_tensor.device.device_type == dl_cuda);
  CHECK(m->dl_tensor.device.device_id == 3);
  m->deleter(m);
}

TEST_CASE("what is no tensor is refused with the part, the need and the limit") {
  float numbers[64] = {};
  kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 2, .type = kv::dtype::float32, .block_tokens = 2};
  CHECK(plane_of_blocks(shape, nullptr, 1, 0, 0).why().code == errc::invalid_argument);
  CHECK(plane_of_blocks(shape, numbers, 0, 0, 0).why().code == errc::invalid_argument);
  CHECK(plane_of_blocks(shape, numbers, 1, 1, 0).why().limit == 1);
  CHECK(plane_of_blocks(shape, numbers, 1, 0, 2).why().limit == 2);
  shape.steps.block = 34;  // no whole number of floats
  const auto odd = plane_of_blocks(shape, numbers, 2, 0, 0);
  REQUIRE(!odd);
  CHECK(odd.why().need == 34);
  shape.layers = 0;
  CHECK(!plane_of_blocks(shape, numbers, 1, 0, 0));
}
