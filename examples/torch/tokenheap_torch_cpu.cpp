// libtokenheap_torch_cpu.so: CPU tensors of PyTorch on memory of tokenheap, by ctypes. See docs/adapters.md.
//
//   import ctypes, torch
//   memory = ctypes.CDLL("libtokenheap_torch_cpu.so")
//   memory.tokenheap_torch_cpu_install(b"ranges", 0)      # before the first tensor; 0: no limit

#include <c10/core/Allocator.h>
#include <malloc.h>

#include <cstddef>
#include <cstring>
#include <string_view>

#include <tokenheap/adapt/torch_cpu.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/ranges.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/alloc/with.hpp>
#include <tokenheap/core/text.hpp>
#include <tokenheap/policy/limit.hpp>
#include <tokenheap/source/host.hpp>
#include <tokenheap/source/pages.hpp>

using namespace tokenheap;

namespace {

// [columns]
// bottom first: where the bytes come from, a limit, what is held, how it is cut, one lock
struct heap : layered<host_source, with<hard_limit>, with<shared_counters>, with<mutex_lock>> {
  using layered::layered;
};
struct slabs : layered<host_source, with<hard_limit>, with<shared_counters>,
                       slab<slab_shape{.largest = 1 * MiB, .chunk = 256 * KiB}>, with<mutex_lock>> {
  using layered::layered;
};
struct large_pieces : layered<page_source, with<hard_limit>, with<shared_counters>,
                              ranges<ranges_shape{.chunk = 32 * MiB, .granularity = 64}>,
                              slab<slab_shape{.largest = 4 * KiB}>, with<mutex_lock>> {
  using layered::layered;
};
// [columns]

/// What tensors asked for, and what a column took for them.
struct figures {
  counter_values asked;
  gauge held;
};

// [door]
/// A column and its door, made at the first call and never destroyed: tensors live until the very end.
template <class Column>
struct door {
  template <class... Options>
  explicit door(const Options&... with) noexcept : memory(with...), tensors(memory) {}
  Column memory;
  adapt::torch_cpu_allocator<c10::Allocator, Column> tensors;
};
// [door]

/// PyTorch's own allocator, with a count of what the C library holds for its tensors: to compare with.
class counted_own final : public c10::Allocator {
 public:
  explicit counted_own(c10::Allocator* own) noexcept : own_(own) {}

  // as in the adapter: which of them the interface has differs by version
  c10::DataPtr allocate(std::size_t bytes) { return hand_out(bytes); }
  c10::DataPtr allocate(std::size_t bytes) const { return hand_out(bytes); }
  c10::DeleterFnPtr raw_deleter() const { return &take_back; }
  void copy_data(void* to, const void* from, std::size_t bytes) const { std::memcpy(to, from, bytes); }

  [[nodiscard]] static counted_own*& here() noexcept {
    static counted_own* one = nullptr;
    return one;
  }
  [[nodiscard]] counter_values values() const noexcept { return counted_.values(); }

 private:
  [[nodiscard]] c10::DataPtr hand_out(std::size_t bytes) const {
    c10::DataPtr p = own_->allocate(bytes);
    if (p.get() == nullptr) return p;
    counted_.on_allocate(bytes, held_by(p.get()));
    const c10::Device device = p.device();
    void* const memory = p.release_context();
    return {memory, memory, &take_back, device};
  }
  // a block of the C library is a word longer than what it lets its owner use
  [[nodiscard]] static std::size_t held_by(void* p) noexcept { return ::malloc_usable_size(p) + sizeof(std::size_t); }
  static void take_back(void* p) {
    here()->counted_.on_deallocate(0, held_by(p));
    here()->own_->raw_deleter()(p);
  }

  c10::Allocator* own_;
  mutable shared_counters counted_;
};

figures (*look)() = nullptr;

template <class Column, class... Options>
c10::Allocator* open(const Options&... with) {
  static door<Column>* const made = new door<Column>(with...);
  look = [] { return figures{made->tensors.asked(), made->memory.template policy<shared_counters>().values().granted}; };
  return &made->tensors;
}

c10::Allocator* count_own() {
  static counted_own* const made = new counted_own(c10::GetAllocator(c10::kCPU));
  counted_own::here() = made;
  // what tensors asked for is not known when they end
  look = [] {
    const counter_values all = made->values();
    return figures{{.calls = all.calls, .granted = {}, .requested = {}}, all.granted};
  };
  return made;
}

}  // namespace

#define TOKENHEAP_TORCH_CPU_SYMBOL extern "C" __attribute__((visibility("default")))

/// Gives the CPU tensors that are made from now on memory of a column: heap, slabs, ranges; own counts PyTorch's.
/// 0, or -1 for another name. Tensors made earlier end where they began.
TOKENHEAP_TORCH_CPU_SYMBOL int tokenheap_torch_cpu_install(const char* column, std::size_t limit) {
  const std::string_view name = column == nullptr ? "" : column;
  const hard_limit_options most{.limit = limit == 0 ? ~std::size_t{0} : limit};
  c10::Allocator* mine = nullptr;
  if (name == "heap") mine = open<heap>(most);
  if (name == "slabs") mine = open<slabs>(most);
  if (name == "ranges") mine = open<large_pieces>(most, page_options{.huge = huge_pages::transparent, .name = "torch_cpu"});
  if (name == "own") mine = count_own();
  if (mine == nullptr) return -1;
  c10::SetAllocator(c10::kCPU, mine, 1);  // above PyTorch's own, which is at 0
  return 0;
}

/// What the installed column gave, as one line of JSON; returns its length.
TOKENHEAP_TORCH_CPU_SYMBOL std::size_t tokenheap_torch_cpu_stats(char* out, std::size_t capacity) {
  const figures now = look == nullptr ? figures{} : look();
  text_buffer text(out, capacity);
  text << "{\"allocations\": " << now.asked.calls.allocated << ", \"live\": " << now.asked.calls.current
       << ", \"asked_bytes\": " << now.asked.granted.current << ", \"asked_peak\": " << now.asked.granted.peak
       << ", \"held_bytes\": " << now.held.current << ", \"held_peak\": " << now.held.peak
       << ", \"refused\": " << now.asked.failures << "}";
  return text.length();
}
