// PyTorch's door for the memory of CPU tensors: c10::Allocator over any host source.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include <tokenheap/adapt/no_memory.hpp>
#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/text.hpp>
#include <tokenheap/policy/stats.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// What a tensor that gets no memory is told; in Python it is a RuntimeError with this text.
class torch_no_memory final : public std::bad_alloc {
 public:
  torch_no_memory(const char* pool, std::size_t need, std::size_t out) noexcept {
    text_buffer(text_, sizeof text_) << pool << ": no memory for a CPU tensor: need " << need << " bytes, tensors hold " << out
                                     << ": drop tensors, or raise the limit of the source";
  }
  [[nodiscard]] const char* what() const noexcept override { return text_; }

 private:
  char text_[192];
};

/// Gives CPU tensors the memory of a source: `Interface` is c10::Allocator of the program's own PyTorch, any since 1.13.
///
/// For `c10::SetAllocator(c10::kCPU, &mine)` before the first tensor; those made earlier go back where they came from.
/// The header includes no PyTorch. Kept: the raw interface, clones, sharing between threads, torch.profiler with
/// profile_memory=True. Lost: PyTorch's switches that fill new memory with zeros or junk and that move it to a NUMA node
/// (a `page_source` binds one), and its out-of-memory event in the profiler.
///
/// Requires  a source and an adapter that outlive every tensor: make both, and destroy neither
/// Returns   memory aligned as PyTorch's own, to 64 bytes; null for no bytes
/// Fails     `torch_no_memory`; without exceptions the program ends
/// Threads   as the source; tensors end on any thread
/// Cost      the source's; 64 bytes in front of each tensor, six relaxed atomic additions
/// Example   examples/torch/tokenheap_torch_cpu.cpp
template <class Interface, source Source>
  requires cpu_accessible<Source>
class torch_cpu_allocator final : public Interface {
 public:
  using data_pointer = decltype(std::declval<Interface&>().allocate(std::size_t{}));
  using deleter = void (*)(void*);
  static constexpr std::size_t alignment = 64;

  explicit torch_cpu_allocator(Source& from) noexcept : from_(&from) {}
  torch_cpu_allocator(const torch_cpu_allocator&) = delete;
  torch_cpu_allocator& operator=(const torch_cpu_allocator&) = delete;
  ~torch_cpu_allocator() = default;

  // `allocate` is const before PyTorch 2.3, and `copy_data` came then: whichever the interface has is overridden
  data_pointer allocate(std::size_t bytes) { return hand_out(bytes); }
  data_pointer allocate(std::size_t bytes) const { return hand_out(bytes); }
  deleter raw_deleter() const { return &take_back; }
  void copy_data(void* to, const void* from, std::size_t bytes) const {
    if (bytes != 0) std::memcpy(to, from, bytes);
  }

  /// What tensors asked for, in `calls` and, as bytes, in `granted`: nothing of what the source adds.
  [[nodiscard]] counter_values asked() const noexcept { return asked_.values(); }
  [[nodiscard]] Source& upstream() const noexcept { return *from_; }

 private:
  // what the deleter, which is told the address alone, must know
  struct front {
    allocation whole;
    const torch_cpu_allocator* owner;
    std::size_t asked;
  };
  static_assert(sizeof(front) <= alignment);
  // the profiler takes signed numbers before PyTorch 2, unsigned ones since
  struct sum {
    std::size_t bytes;
    operator std::size_t() const noexcept { return bytes; }
    operator std::int64_t() const noexcept { return static_cast<std::int64_t>(bytes); }
  };

  [[nodiscard]] data_pointer hand_out(std::size_t bytes) const {
    const auto device = data_pointer().device();  // the CPU
    if (bytes == 0) return data_pointer(nullptr, nullptr, &take_back, device);
    std::size_t total = 0;
    const allocation whole = checked_add(bytes, alignment, total) ? from_->allocate(total, alignment) : allocation{};
    if (!whole) refuse(bytes);
    unsigned char* const user = static_cast<unsigned char*>(whole.data) + alignment;
    ::new (static_cast<void*>(user - sizeof(front))) front{whole, this, bytes};
    asked_.on_allocate(bytes, bytes);
    tell_profiler(user, static_cast<std::int64_t>(bytes), device);
    return data_pointer(user, user, &take_back, device);
  }
  static void take_back(void* user) {
    if (user == nullptr) return;
    const front f = *std::launder(reinterpret_cast<front*>(static_cast<unsigned char*>(user) - sizeof(front)));
    f.owner->asked_.on_deallocate(f.asked, f.asked);
    f.owner->tell_profiler(user, -static_cast<std::int64_t>(f.asked), data_pointer().device());
    f.owner->from_->deallocate(f.whole);
  }

  /// Found beside the device's type, in the namespace of the interface, if it is declared there.
  template <class Place>
  void tell_profiler(void* user, std::int64_t bytes, Place device) const {
    if constexpr (requires { reportMemoryUsageToProfiler(user, bytes, sum{}, sum{}, device); }) {
      reportMemoryUsageToProfiler(user, bytes, sum{asked_.values().granted.current}, sum{}, device);
    }
  }
  [[noreturn]] void refuse(std::size_t bytes) const {
    asked_.on_failure(bytes);
#if TOKENHEAP_HAS_EXCEPTIONS
    const char* pool = "torch_cpu";
    if constexpr (named<Source>) pool = from_->name();
    throw torch_no_memory(pool, bytes, asked_.values().granted.current);
#else
    no_memory();
#endif
  }

  Source* from_;
  mutable shared_counters asked_;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
