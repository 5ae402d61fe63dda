// What PyTorch's torch.cuda.memory_stats() and _dump_snapshot() would say, of memory that PyTorch cannot ask about.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <type_traits>

#include <tokenheap/alloc/device_counters.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/observe/file_sink.hpp>
#include <tokenheap/observe/report_text.hpp>
#include <tokenheap/observe/viz_device.hpp>
#include <tokenheap/observe/viz_json.hpp>
#include <tokenheap/observe/viz_pickle.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

namespace detail {

/// One object of JSON out of keys with dots and numbers.
template <class Sink>
class torch_stat_writer {
 public:
  explicit torch_stat_writer(Sink& to) noexcept : text_(to) { text_.raw("{"); }
  ~torch_stat_writer() { text_.raw("}"); }
  torch_stat_writer(const torch_stat_writer&) = delete;
  torch_stat_writer& operator=(const torch_stat_writer&) = delete;

  void put(std::string_view key, std::size_t value) {
    start(key);
    text_.raw("\":").number(value);
  }
  void put_none(std::string_view key) {
    start(key);
    text_.raw("\":-1");
  }
  void put(std::string_view key, std::string_view pool, const gauge& g) {
    put(key, pool, ".current", g.current);
    put(key, pool, ".peak", g.peak);
    put(key, pool, ".allocated", g.allocated);
    put(key, pool, ".freed", g.freed);
  }
  void put(std::string_view pool, const device_gauges& of) {
    put("allocation", pool, of.allocation);
    put("segment", pool, of.segment);
    put("active", pool, of.active);
    put("inactive_split", pool, of.inactive_split);
    put("allocated_bytes", pool, of.allocated_bytes);
    put("reserved_bytes", pool, of.reserved_bytes);
    put("active_bytes", pool, of.active_bytes);
    put("inactive_split_bytes", pool, of.inactive_split_bytes);
    put("requested_bytes", pool, of.requested_bytes);
  }

 private:
  void start(std::string_view key) {
    text_.raw(first_ ? "\"" : ",\"").raw(key);
    first_ = false;
  }
  void put(std::string_view key, std::string_view pool, std::string_view metric, std::size_t value) {
    start(key);
    text_.raw(pool).raw(metric).raw("\":").number(value);
  }

  report_text<Sink> text_;
  bool first_ = true;
};

}  // namespace detail

/// Writes the numbers of a caching allocator as one object of JSON under the keys of torch.cuda.memory_stats().
///
/// For dashboards and scripts that know PyTorch's names, torch.cuda.memory_summary() among them. What has no meaning here
/// is there and 0: oversize pieces (nothing is kept from being split), rejections ahead of the device.
///
/// Requires  a sink that is callable with `std::string_view`
/// Cost      about 5 KiB of text
template <class Sink>
  requires std::is_invocable_v<Sink&, std::string_view>
void write_torch_stats(const device_stats& of, Sink&& to) {
  detail::torch_stat_writer<std::remove_reference_t<Sink>> out(to);
  out.put(".all", of.all);
  out.put(".small_pool", of.small_pool);
  out.put(".large_pool", of.large_pool);
  out.put("oversize_allocations", "", gauge{});
  out.put("oversize_segments", "", gauge{});
  out.put_none("max_split_size");
  out.put("num_alloc_retries", of.num_alloc_retries);
  out.put("num_ooms", of.num_ooms);
  out.put("num_oom_rejections", 0);
  out.put("num_sync_all_streams", of.num_sync_all_streams);
  out.put("num_device_alloc", of.num_device_alloc);
  out.put("num_device_free", of.num_device_free);
}

/// The same into a buffer, terminated and cut off where it is too short; returns the length of the whole.
inline std::size_t write_torch_stats(const device_stats& of, char* out, std::size_t capacity) {
  std::size_t length = 0;
  write_torch_stats(of, [&](std::string_view piece) {
    if (length + 1 < capacity) {
      const std::size_t room = capacity - 1 - length;
      std::memcpy(out + length, piece.data(), piece.size() < room ? piece.size() : room);
    }
    length += piece.size();
  });
  if (capacity != 0) out[length < capacity ? length : capacity - 1] = '\0';
  return length;
}

/// Writes what all devices of a `torch_door` hold, and their last events, into a file for PyTorch's memory viewer.
///
/// JSON if the name ends in `.json`, else the pickle that `torch.cuda.memory._dump_snapshot` writes. Events are there if
/// the door's policy keeps them.
///
/// Fails     out_of_memory for the picture, system_refused for the file; a file that was begun stays as far as it got
/// Threads   safe; each allocator's lock is held for one copy
template <class Door>
[[nodiscard]] errc write_torch_snapshot(Door& of, const char* path) {
  viz_snapshot picture;
  for (int k = 0; k != Door::most_devices; ++k) {
    if (auto* const heap = of.heap_of(k); heap != nullptr) collect(picture, *heap);
  }
  if (picture.status() != errc::ok) return picture.status();
  std::FILE* const file = path == nullptr ? nullptr : std::fopen(path, "wb");
  if (file == nullptr) return errc::system_refused;
  file_sink to(file);
  std::string_view(path).ends_with(".json") ? write_viz_json(picture, to) : write_viz_pickle(picture, to);
  const errc written = to.status();
  return std::fclose(file) == 0 ? written : errc::system_refused;
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
