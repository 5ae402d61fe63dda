// Planes of cached keys and values as DLPack tensors, without a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/layout.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Where a tensor's bytes are, by DLPack's numbers.
struct dlpack_device {
  std::int32_t type = 1;  ///< 1 host, 2 CUDA, 3 host memory pinned by CUDA, 13 managed by CUDA
  std::int32_t id = 0;
};

/// The format of one number, by DLPack's numbers.
struct dlpack_number {
  std::uint8_t code = 2;  ///< 0 signed, 1 unsigned, 2 float, 4 bfloat
  std::uint8_t bits = 32;
  friend constexpr bool operator==(const dlpack_number&, const dlpack_number&) = default;
};

/// One tensor over memory of somebody else: 4 axes for a plane of all blocks, 3 for a plane of one block.
struct tensor_view {
  void* data = nullptr;
  dlpack_device device{};
  dlpack_number number{};
  std::int32_t axes = 0;
  std::int64_t shape[4] = {};
  std::int64_t strides[4] = {};  ///< in numbers, not bytes
  bool read_only = false;
};

/// How a format is shown: what DLPack 1.0 has no code for is bytes, so that any consumer takes it.
///
/// float8 and the 4-bit formats are unsigned bytes; a consumer that knows them views the bytes anew.
[[nodiscard]] constexpr dlpack_number dlpack_number_of(kv::dtype type) noexcept {
  switch (type) {
    case kv::dtype::float32: return {2, 32};
    case kv::dtype::float16: return {2, 16};
    case kv::dtype::bfloat16: return {4, 16};
    case kv::dtype::int8: return {0, 8};
    default: return {1, 8};
  }
}

namespace detail {

[[nodiscard]] constexpr failure not_a_tensor(const char* what, std::size_t need, std::size_t limit, const char* fix) noexcept {
  return {.code = errc::invalid_argument, .pool = "dlpack", .what = what, .need = need, .limit = limit, .fix = fix};
}

}  // namespace detail

/// The plane of keys (0) or values (1) of one layer of all blocks, as a tensor of four axes.
///
/// The axes are block, token, head, number; with `axis_order::hnd` block, head, token, number. Scales in the page and
/// gaps of an engine's own tensor are stepped over. `base` is where block 0 starts in the tensor that holds the plane
/// (`layout::tensor_of`): for a pool `block_pool::data(0)`. For engines in Python, which take it by `from_dlpack`.
///
/// Requires  memory of `blocks` blocks at `base`, which outlives all consumers
/// Fails     a layer, plane or layout that is none, and strides that are no multiple of a number
/// Threads   safe: reads the layout alone
/// Streams   none: order the consumer behind what wrote the blocks
/// Cost      a few multiplications
[[nodiscard]] inline result<tensor_view> plane_of_blocks(const kv::layout& shape, void* base, std::size_t blocks,
                                                         std::size_t layer, std::size_t plane,
                                                         dlpack_device device = {}) noexcept {
  if (base == nullptr || blocks == 0)
    return detail::not_a_tensor("blocks of a tensor", blocks, 0, "give the memory of at least one");
  if (const failure bad = shape.why_not(blocks, "dlpack"); bad.code != errc::ok) return bad;
  if (layer >= shape.layers) return detail::not_a_tensor("layer of a tensor", layer, shape.layers, "count from 0");
  if (plane >= shape.planes)
    return detail::not_a_tensor("plane of a tensor", plane, shape.planes, "use 0 for keys, 1 for values");
  const dlpack_number number = dlpack_number_of(shape.type);
  const std::size_t each = number.bits / 8;
  const std::size_t at = shape.offset_of({.layer = layer, .plane = plane});
  const std::size_t steps[] = {shape.block_stride(plane), shape.token_stride(plane), shape.head_stride(plane)};
  for (const std::size_t step : steps) {
    if (step % each != 0 || at % each != 0) {
      return detail::not_a_tensor("bytes from one row to the next", step, each, "use strides that are whole numbers of the format");
    }
  }
  const auto counted = [&](std::size_t bytes) { return static_cast<std::int64_t>(bytes / each); };
  const bool by_head = shape.order == kv::axis_order::hnd;
  tensor_view made{.data = static_cast<unsigned char*>(base) + at, .device = device, .number = number, .axes = 4};
  made.shape[0] = static_cast<std::int64_t>(blocks);
  made.shape[1] = static_cast<std::int64_t>(by_head ? shape.kv_heads : shape.block_tokens);
  made.shape[2] = static_cast<std::int64_t>(by_head ? shape.block_tokens : shape.kv_heads);
  made.shape[3] = counted(kv::bytes_of(shape.type, shape.size_of(plane)));
  made.strides[0] = counted(steps[0]);
  made.strides[1] = counted(steps[by_head ? 2 : 1]);
  made.strides[2] = counted(steps[by_head ? 1 : 2]);
  made.strides[3] = 1;
  return made;
}

/// The same of one block, as a tensor of three axes. Requires block < shape[0] of the view.
[[nodiscard]] inline tensor_view plane_of_block(const tensor_view& of, std::size_t block) noexcept {
  tensor_view made = of;
  made.axes = 3;
  made.data = static_cast<unsigned char*>(of.data) +
              block * static_cast<std::size_t>(of.strides[0]) * (of.number.bits / 8);
  for (std::int32_t k = 0; k != 3; ++k) {
    made.shape[k] = of.shape[k + 1];
    made.strides[k] = of.strides[k + 1];
  }
  made.shape[3] = made.strides[3] = 0;
  return made;
}

/// A tensor in the hands of a consumer, who calls its `deleter` when done; null without memory.
///
/// `Managed` is DLManagedTensor or DLManagedTensorVersioned of whatever <dlpack/dlpack.h> the program has; this header
/// includes none. `release(keep)` is called once, by the deleter, on the consumer's thread: let it drop what keeps the
/// blocks alive. A read-only view needs the versioned type, which alone can say so.
///
/// Fails     null, and `release` is not called
template <class Managed>
[[nodiscard]] Managed* to_dlpack(const tensor_view& of, void* keep = nullptr, void (*release)(void*) = nullptr) noexcept {
  // told apart by their members, so that any version of the interface does
  constexpr bool versioned = requires(Managed& m) { m.version.major; m.flags; };
  if (of.read_only && !versioned) return nullptr;
  struct holder {
    Managed managed;
    tensor_view view;
    void* keep;
    void (*release)(void*);
  };
  auto* const held = new (std::nothrow) holder{{}, of, keep, release};
  if (held == nullptr) return nullptr;
  Managed& m = held->managed;
  if constexpr (versioned) {
    m.version = {1, 0};
    m.flags = of.read_only ? 1 : 0;
  }
  m.manager_ctx = held;
  m.deleter = [](Managed* self) {
    auto* const mine = static_cast<holder*>(self->manager_ctx);
    if (mine->release != nullptr) mine->release(mine->keep);
    delete mine;
  };
  auto& t = m.dl_tensor;
  t.data = of.data;
  t.device.device_type = static_cast<decltype(t.device.device_type)>(of.device.type);
  t.device.device_id = of.device.id;
  t.ndim = of.axes;
  t.dtype.code = of.number.code;
  t.dtype.bits = of.number.bits;
  t.dtype.lanes = 1;
  t.shape = held->view.shape;
  t.strides = held->view.strides;
  t.byte_offset = 0;
  return &m;
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
