// ONNX Runtime's door for other people's memory: OrtAllocator, over any host source or over the caching allocator.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <tokenheap/adapt/onnxruntime_memory.hpp>
#include <tokenheap/core/text.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

namespace detail {

template <class>
struct slot_of;
template <class Answer, class... Arguments, bool Quiet>
struct slot_of<Answer (*)(Arguments...) noexcept(Quiet)> {
  using answer = Answer;
};
/// What a function of a C struct answers.
template <class Function>
using answer_of = typename slot_of<Function>::answer;

template <class, class Handle>
struct stream_reader {
  using type = void*;
};
template <class Ort, class Handle>
  requires requires(Ort& o) { o.AllocOnStream; }
struct stream_reader<Ort, Handle> {
  template <class Self, class Stream, bool Quiet>
  static auto reads(void* (*)(Self, std::size_t, Stream) noexcept(Quiet)) -> Handle (*)(Stream);
  using type = decltype(reads(Ort::AllocOnStream));
};

}  // namespace detail

/// What ONNX Runtime asks of an allocator's struct in every version of its C interface.
template <class Ort>
concept onnxruntime_struct = requires(Ort& o) {
  o.version;
  o.Alloc;
  o.Free;
  o.Info;
};

/// What an allocator says about itself, and what it needs to answer.
template <onnxruntime_struct Ort, class Api, class Handle = void*>
struct onnxruntime_options {
  detail::answer_of<decltype(Ort::Info)> about{};  ///< the OrtMemoryInfo, which outlives the allocator
  std::uint32_t version = 0;                       ///< ORT_API_VERSION of the program's header
  const Api* api = nullptr;                        ///< null: no statistics, and no streams but by `handle_of`
  /// The driver's handle of a stream of ONNX Runtime; null: the interface is asked, where it can be (1.23 and later).
  typename detail::stream_reader<Ort, Handle>::type handle_of = nullptr;
  std::size_t limit = ~std::size_t{0};             ///< what the statistics call the limit; the memory's owner holds it
};

/// Serves ONNX Runtime as its OrtAllocator: hand its address to `RegisterAllocator` of the environment.
///
/// Sessions take part with the entry `session.use_env_allocators` = 1. `Ort` and `Api` are OrtAllocator and OrtApi of the
/// program's own header, of any version: slots that the header lacks are left out. Kept: `Reserve` apart from `Alloc`,
/// statistics by ONNX Runtime's names, streams, `Shrink`, null for 0 bytes. Lost: ONNX Runtime's own arena and its
/// settings, which it does not put above memory of others.
///
/// Requires  an address that stays until the sessions are gone and `UnregisterAllocator` has returned
/// Fails     null; nothing is taken
/// Threads   safe, if the source is
/// Streams   `AllocOnStream` is in the order of the stream; host memory has none
/// Cost      that of the memory, and five relaxed atomics
/// Example   examples/onnxruntime/session.cpp
template <onnxruntime_struct Ort, class Api, class Memory>
class onnxruntime_allocator : public Ort {
 public:
  using options = onnxruntime_options<Ort, Api, typename Memory::handle>;

  onnxruntime_allocator(const Memory& from, const options& with) noexcept : Ort{}, from_(from), with_(with) {
    this->version = with.version;
    this->Alloc = [](Ort* me, std::size_t bytes) noexcept -> void* { return self(me).take(bytes, false); };
    this->Free = [](Ort* me, void* p) noexcept { self(me).give(p); };
    this->Info = [](const Ort* me) noexcept { return static_cast<const onnxruntime_allocator*>(me)->with_.about; };
    if constexpr (requires { this->Reserve; })
      this->Reserve = [](Ort* me, std::size_t bytes) noexcept -> void* { return self(me).take(bytes, true); };
    if constexpr (requires { this->Shrink; })
      this->Shrink = [](Ort* me) noexcept -> detail::answer_of<decltype(Ort::Shrink)> {
        self(me).from_.trim();
        return nullptr;
      };
    fill_stats();
    fill_streams();
  }
  onnxruntime_allocator(const onnxruntime_allocator&) = delete;
  onnxruntime_allocator& operator=(const onnxruntime_allocator&) = delete;

  [[nodiscard]] std::size_t in_use() const noexcept { return in_use_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t most_in_use() const noexcept { return most_.load(std::memory_order_relaxed); }
  /// Pieces that were handed out so far, those reserved included.
  [[nodiscard]] std::size_t allocations() const noexcept { return allocations_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t reserves() const noexcept { return reserves_.load(std::memory_order_relaxed); }
  /// Bytes that the memory below holds for what is in use.
  [[nodiscard]] std::size_t held() const noexcept { return from_.held(in_use(), pieces_.load(std::memory_order_relaxed)); }

 private:
  [[nodiscard]] static onnxruntime_allocator& self(Ort* me) noexcept { return *static_cast<onnxruntime_allocator*>(me); }

  [[nodiscard]] void* take(std::size_t bytes, bool lasting) noexcept {
    void* const p = count(from_.take(bytes, lasting));
    if (p != nullptr && lasting) reserves_.fetch_add(1, std::memory_order_relaxed);
    return p;
  }
  void give(void* p) noexcept {
    if (p == nullptr) return;
    const std::size_t bytes = from_.give(p);
    if (bytes == 0) return;
    in_use_.fetch_sub(bytes, std::memory_order_relaxed);
    pieces_.fetch_sub(1, std::memory_order_relaxed);
  }
  [[nodiscard]] void* count(allocation a) noexcept {
    if (!a) return nullptr;
    raise(most_, in_use_.fetch_add(a.size, std::memory_order_relaxed) + a.size);
    raise(largest_, a.size);
    pieces_.fetch_add(1, std::memory_order_relaxed);
    allocations_.fetch_add(1, std::memory_order_relaxed);
    return a.data;
  }
  static void raise(std::atomic<std::size_t>& peak, std::size_t to) noexcept {
    std::size_t seen = peak.load(std::memory_order_relaxed);
    while (seen < to && !peak.compare_exchange_weak(seen, to, std::memory_order_relaxed)) {
    }
  }

  void fill_stats() noexcept {
    if constexpr (requires(const Api& api) { this->GetStats; api.CreateKeyValuePairs; api.AddKeyValuePair; })
      if (with_.api != nullptr) set_stats(this->GetStats);
  }
  // the types of ONNX Runtime are read off its own slots: this header knows none of their names
  template <class Status, class Pairs, bool Quiet>
  static void set_stats(Status (*&slot)(const Ort*, Pairs**) noexcept(Quiet)) noexcept {
    slot = [](const Ort* me, Pairs** out) noexcept -> Status {
      static_cast<const onnxruntime_allocator*>(me)->write_stats(out);
      return nullptr;
    };
  }
  template <class Pairs>
  void write_stats(Pairs** out) const noexcept {
    const Api& api = *with_.api;
    api.CreateKeyValuePairs(out);
    if (*out == nullptr) return;
    const auto add = [&](const char* key, std::size_t value) {
      char text[24];
      text_buffer(text, sizeof text) << value;
      api.AddKeyValuePair(*out, key, value == ~std::size_t{0} ? "-1" : text);
    };
    add("Limit", with_.limit);
    add("InUse", in_use());
    add("TotalAllocated", held());
    add("MaxInUse", most_in_use());
    add("NumAllocs", allocations());
    add("NumReserves", reserves());
    add("MaxAllocSize", largest_.load(std::memory_order_relaxed));
    // what is no arena has none of these
    if constexpr (requires { from_.extensions(); }) {
      add("NumArenaExtensions", from_.extensions());
      add("NumArenaShrinkages", from_.shrinkages());
    }
  }

  void fill_streams() noexcept {
    if constexpr (requires { this->AllocOnStream; from_.take_on(typename Memory::handle{}, std::size_t{}); }) {
      constexpr bool asks = requires(const Api& api) { api.SyncStream_GetHandle; };
      if (with_.handle_of != nullptr || (asks && with_.api != nullptr)) set_streams(this->AllocOnStream);
    }
  }
  template <class Stream, bool Quiet>
  static void set_streams(void* (*&slot)(Ort*, std::size_t, Stream*) noexcept(Quiet)) noexcept {
    slot = [](Ort* me, std::size_t bytes, Stream* on) noexcept -> void* {
      onnxruntime_allocator& mine = self(me);
      return on == nullptr ? mine.take(bytes, false) : mine.count(mine.from_.take_on(mine.handle_of(on), bytes));
    };
  }
  template <class Stream>
  [[nodiscard]] typename Memory::handle handle_of(Stream* on) const noexcept {
    using handle = typename Memory::handle;
    if constexpr (requires(const Api& api) { api.SyncStream_GetHandle; }) {
      if (with_.handle_of == nullptr) {
        void* const found = with_.api->SyncStream_GetHandle(on);
        if constexpr (std::is_pointer_v<handle>) return static_cast<handle>(found);
        else return reinterpret_cast<handle>(found);
      }
    }
    return with_.handle_of(on);
  }

  mutable Memory from_;
  options with_;
  std::atomic<std::size_t> in_use_{0}, most_{0}, largest_{0}, pieces_{0}, allocations_{0}, reserves_{0};
};

/// An `onnxruntime_allocator` over host memory.
template <class Ort, class Api, class Source>
using onnxruntime_host = onnxruntime_allocator<Ort, Api, onnxruntime_host_memory<Source>>;
/// An `onnxruntime_allocator` over a caching allocator.
template <class Ort, class Api, class Allocator>
using onnxruntime_device = onnxruntime_allocator<Ort, Api, onnxruntime_device_memory<Allocator>>;

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
