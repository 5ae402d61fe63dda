// libtokenheap_dlpack.so: a KV pool whose planes NumPy and PyTorch read and write in place. See docs/adapters.md.
//
// Python wraps what `tokenheap_planes_view` gives in a capsule named "dltensor_versioned" and hands it to from_dlpack;
// tests/engines/numpy_dlpack.py does it in ten lines.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include <tokenheap/adapt/dlpack.hpp>
#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/kv/narrow_float.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

namespace {

// what <dlpack/dlpack.h> of 1.0 lays out; a program that has the header uses its types
struct tensor_of_dlpack {
  void* data;
  struct {
    std::int32_t device_type, device_id;
  } device;
  std::int32_t ndim;
  struct {
    std::uint8_t code, bits;
    std::uint16_t lanes;
  } dtype;
  std::int64_t *shape, *strides;
  std::uint64_t byte_offset;
};
struct managed_tensor {
  struct {
    std::uint32_t major, minor;
  } version;
  void* manager_ctx;
  void (*deleter)(managed_tensor*);
  std::uint64_t flags;
  tensor_of_dlpack dl_tensor;
};

/// A pool that lives as long as its owner or one of its views.
struct planes {
  host_source heap;
  kv::block_pool<> pool;
  std::size_t blocks;
  std::atomic<std::size_t> users{1};

  static void release(void* self) noexcept {
    auto* const mine = static_cast<planes*>(self);
    if (mine->users.fetch_sub(1) == 1) delete mine;
  }
};

void write(void* to, kv::dtype type, float value) noexcept {
  if (type == kv::dtype::float32) return void(std::memcpy(to, &value, sizeof value));
  const auto bits = static_cast<std::uint16_t>(type == kv::dtype::float16 ? kv::float16_bits::encode(value)
                                                                         : kv::bfloat16_bits::encode(value));
  std::memcpy(to, &bits, sizeof bits);
}

}  // namespace

#define TOKENHEAP_PLANES_SYMBOL extern "C" __attribute__((visibility("default")))

/// A pool of blocks of some layers, heads, numbers a head and tokens; type 0 float32, 1 float16, 2 bfloat16. Null if refused.
TOKENHEAP_PLANES_SYMBOL void* tokenheap_planes_open(int type, int by_head, std::size_t blocks, const std::size_t* sizes) {
  const kv::layout shape{.layers = sizes[0], .kv_heads = sizes[1], .head_size = sizes[2], .type = static_cast<kv::dtype>(type),
                         .block_tokens = sizes[3], .order = by_head != 0 ? kv::axis_order::hnd : kv::axis_order::nhd};
  host_source heap;
  auto pool = kv::block_pool<>::open({.blocks = blocks, .block_tokens = sizes[3], .name = "planes"}, shape, heap);
  return pool ? new (std::nothrow) planes{heap, std::move(*pool), blocks} : nullptr;
}

// [view]
/// The keys (plane 0) or values (1) of a layer of all blocks, or of one block if `block` is none below 0.
TOKENHEAP_PLANES_SYMBOL managed_tensor* tokenheap_planes_view(void* of, std::size_t layer, std::size_t plane,
                                                              std::ptrdiff_t block, int read_only) {
  auto& mine = *static_cast<planes*>(of);
  const auto all = adapt::plane_of_blocks(mine.pool.shape(), mine.pool.data(0), mine.blocks, layer, plane);
  if (!all) return nullptr;
  adapt::tensor_view shown = block < 0 ? *all : adapt::plane_of_block(*all, static_cast<std::size_t>(block));
  shown.read_only = read_only != 0;
  mine.users.fetch_add(1);  // until the consumer is done
  managed_tensor* const made = adapt::to_dlpack<managed_tensor>(shown, of, &planes::release);
  if (made == nullptr) planes::release(of);
  return made;
}
// [view]

/// Views that consumers hold.
TOKENHEAP_PLANES_SYMBOL std::size_t tokenheap_planes_views(void* of) { return static_cast<planes*>(of)->users.load() - 1; }

/// Writes a number that tells block, layer, plane, token, head and place apart, where the layout has each.
TOKENHEAP_PLANES_SYMBOL void tokenheap_planes_fill(void* of) {
  auto& mine = *static_cast<planes*>(of);
  const kv::layout& shape = mine.pool.shape();
  const std::size_t each = kv::bytes_of(shape.type);
  for (std::size_t b = 0; b != mine.blocks; ++b) {
    auto* const block = static_cast<unsigned char*>(mine.pool.data(static_cast<kv::block_id>(b)));
    for (std::size_t row = 0; row != shape.layers * 2 * shape.block_tokens * shape.kv_heads; ++row) {
      const std::size_t head = row % shape.kv_heads, token = row / shape.kv_heads % shape.block_tokens;
      const std::size_t plane = row / (shape.kv_heads * shape.block_tokens) % 2;
      const std::size_t layer = row / (2 * shape.kv_heads * shape.block_tokens);
      unsigned char* const numbers = block + shape.offset_of({.layer = layer, .plane = plane, .head = head, .token = token});
      for (std::size_t n = 0; n != shape.head_size; ++n) {
        const std::size_t value = (b * 31 + layer * 17 + plane * 101 + token * 7 + head * 3 + n) % 251;
        write(numbers + n * each, shape.type, static_cast<float>(value));
      }
    }
  }
}

/// The pool ends with its last view.
TOKENHEAP_PLANES_SYMBOL void tokenheap_planes_close(void* of) { planes::release(of); }
