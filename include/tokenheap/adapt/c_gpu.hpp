// The caching allocators behind the C interface: one set of calls for every kind of device.
#pragma once

#include <cstdio>

#include <tokenheap/adapt/c_device.h>
#include <tokenheap/adapt/c_sources.hpp>
#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/observe/file_sink.hpp>
#include <tokenheap/observe/viz_device.hpp>
#include <tokenheap/observe/viz_json.hpp>
#include <tokenheap/observe/viz_pickle.hpp>
#include <tokenheap/source/device_failure.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// The choices of an allocator of C: misuse to `th_last_error`, and a ring of events for snapshots.
struct c_caching_policy : default_caching_policy {
  using guard = c_misuse;
  using trace = device_ring_trace<trace_shape{.events = 4096}>;
};

/// The refusal of a device in the words of the C interface.
[[nodiscard]] inline failure c_device_failure(device_status status, const char* pool, const char* what) noexcept {
  failure f = refusal_by(status, pool, what, 0);
  switch (status.error) {
    case device_error::no_device:
    case device_error::gone: f.code = errc::no_device; break;
    case device_error::forked: f.code = errc::forked; break;
    case device_error::capture_refused:
    case device_error::capture_broken:
    case device_error::failed: f.code = errc::device_failed; break;
    default: break;
  }
  // the driver's own number, for its manual
  f.need = static_cast<std::size_t>(status.native > 0 ? status.native : 0);
  return f;
}

/// Device memory for C, whatever the device is.
///
/// Threads   safe
class c_gpu : public c_object {
 public:
  static constexpr c_kind kind = c_kind::gpu;
  static constexpr const char* what = "an allocator of device memory";

  explicit c_gpu(const th_gpu_options& with) noexcept
      : name_(with.name, "device"), pressure_(with.on_pressure), pressure_user_(with.on_pressure_user) {}

  /// Why the device cannot be used, or `ok`.
  [[nodiscard]] virtual failure look_at_device() noexcept = 0;
  [[nodiscard]] virtual th_status allocate(void* stream, const device_request& with, bool only_cached,
                                           allocation& out) noexcept = 0;
  [[nodiscard]] virtual th_status deallocate(void* stream, allocation a) noexcept = 0;
  [[nodiscard]] virtual th_status record_stream(allocation a, void* stream) noexcept = 0;
  [[nodiscard]] virtual th_status retire(void* stream) noexcept = 0;
  [[nodiscard]] virtual std::size_t trim(std::size_t keep) noexcept = 0;
  virtual void set_limit(std::size_t bytes) noexcept = 0;
  [[nodiscard]] virtual device_stats stats() noexcept = 0;
  [[nodiscard]] virtual std::size_t dump(char* out, std::size_t room) noexcept = 0;
  [[nodiscard]] virtual bool is_valid() const noexcept = 0;
  virtual void draw(viz_snapshot& out) noexcept = 0;
  [[nodiscard]] virtual th_status create_stream(void*& out) noexcept = 0;
  [[nodiscard]] virtual th_status destroy_stream(void* stream) noexcept = 0;
  [[nodiscard]] virtual th_status synchronize(void* stream) noexcept = 0;

  [[nodiscard]] const char* name() const noexcept { return name_.text; }

 protected:
  [[nodiscard]] caching_options options_of(const th_gpu_options& with) noexcept {
    caching_options out;
    out.name = name_.text;
    if (with.limit != 0) out.limit = with.limit;
    out.address_space = with.address_space;
    if (with.max_split != 0) out.max_split = with.max_split;
    out.divisions = with.divisions;
    out.collect_above = with.collect_above;
    if (pressure_ != nullptr) out.on_pressure = {&relieve, this};
    return out;
  }

 private:
  static bool relieve(void* self, std::size_t bytes) noexcept {
    auto& me = *static_cast<c_gpu*>(self);
    const c_stay open(me);
    return c_call([&] { return me.pressure_(me.pressure_user_, bytes); }, 0) != 0;
  }

  c_name name_;
  th_pressure_call pressure_;
  void* pressure_user_;
};

/// A machine with one device, for as long as the allocator over it.
struct c_sim_home {
  explicit c_sim_home(const th_gpu_options& with) noexcept
      : machine({.capacity = with.device_bytes == 0 ? 8 * GiB : static_cast<std::size_t>(with.device_bytes),
                 .backed = with.backed != 0}),
        device(machine.device()) {}

  static std::uintptr_t handle(void* stream) noexcept { return reinterpret_cast<std::uintptr_t>(stream); }
  static void* pointer(std::uintptr_t handle) noexcept { return reinterpret_cast<void*>(handle); }

  sim_machine machine;
  sim_device device;
};

/// The allocator over the device of a `Home`, which turns C's streams into those of the device.
template <class Home>
class c_gpu_of final : public c_gpu {
 public:
  using device_type = decltype(Home::device);
  using stream = typename device_type::stream;

  explicit c_gpu_of(const th_gpu_options& with) noexcept : c_gpu(with), home_(with), memory_(home_.device, options_of(with)) {}

  [[nodiscard]] failure look_at_device() noexcept override {
    device_memory has{};
    const device_status status = home_.device.memory(has);
    return status ? failure{} : c_device_failure(status, name(), "a device (need: the driver's error)");
  }
  [[nodiscard]] th_status allocate(void* on, const device_request& with, bool only_cached, allocation& out) noexcept override {
    stream s{};
    if (const th_status no = identify(on, s); no != th_ok) return no;
    if (only_cached) {
      out = memory_.try_allocate(s, with);
      if (out) return th_ok;
      return c_refuse({.code = errc::out_of_memory, .pool = name(), .what = "bytes out of what is cached for a stream",
                       .need = with.bytes, .fix = "allow that the device is asked"});
    }
    shortage why;
    out = memory_.allocate(s, with, &why);
    if (out) return th_ok;
    char line[sizeof(c_reason::line)];
    static_cast<void>(describe(why, line, sizeof line));
    return c_refuse({.code = why.code, .pool = name(), .what = "bytes of device memory", .need = why.need,
                     .available = why.device_free, .limit = why.limit, .fix = why.fix}, line);
  }
  [[nodiscard]] th_status deallocate(void* on, allocation a) noexcept override {
    stream s{};
    if (const th_status no = identify(on, s); no != th_ok) return no;
    return c_checked([&] { memory_.deallocate(s, a); });
  }
  [[nodiscard]] th_status record_stream(allocation a, void* on) noexcept override {
    stream s{};
    if (const th_status no = identify(on, s); no != th_ok) return no;
    const std::uint64_t noted = c_noted();
    return c_answer(memory_.record_stream(a, s), noted,
                    {.pool = name(), .what = "a piece that another stream uses", .need = a.size, .address = a.data,
                     .fix = "give a piece that is out, as it came"});
  }
  [[nodiscard]] th_status retire(void* on) noexcept override {
    stream s{};
    if (const th_status no = identify(on, s); no != th_ok) return no;
    const std::uint64_t noted = c_noted();
    return c_answer(memory_.retire(s), noted, {.pool = name(), .what = "a stream that ends", .fix = "retire it before its end"});
  }
  [[nodiscard]] std::size_t trim(std::size_t keep) noexcept override { return memory_.trim(keep); }
  void set_limit(std::size_t bytes) noexcept override { memory_.set_limit(bytes == 0 ? ~std::size_t{0} : bytes); }
  [[nodiscard]] device_stats stats() noexcept override { return memory_.stats(); }
  [[nodiscard]] std::size_t dump(char* out, std::size_t room) noexcept override { return memory_.dump(out, room); }
  [[nodiscard]] bool is_valid() const noexcept override { return memory_.is_valid(); }
  void draw(viz_snapshot& out) noexcept override { collect(out, memory_); }
  [[nodiscard]] th_status create_stream(void*& out) noexcept override {
    stream made{};
    const device_status status = home_.device.create_stream(made);
    if (status) out = Home::pointer(made.handle);
    return answer(status, "a new stream");
  }
  [[nodiscard]] th_status destroy_stream(void* on) noexcept override {
    stream s{};
    if (const th_status no = identify(on, s); no != th_ok) return no;
    if (const th_status no = retire(on); no != th_ok) return no;
    return answer(home_.device.destroy_stream(s), "the end of a stream");
  }
  [[nodiscard]] th_status synchronize(void* on) noexcept override {
    stream s{};
    if (const th_status no = identify(on, s); no != th_ok) return no;
    return answer(home_.device.synchronize(s), "a wait for a stream");
  }

 private:
  [[nodiscard]] th_status answer(device_status status, const char* of) const noexcept {
    return status ? th_ok : c_refuse(c_device_failure(status, name(), of));
  }
  [[nodiscard]] th_status identify(void* on, stream& out) noexcept {
    return answer(home_.device.identify(Home::handle(on), out), "a stream by its handle");
  }

  Home home_;
  caching_allocator<device_type, c_caching_policy> memory_;
};

/// Writes a picture to a file; `ok` or why not.
[[nodiscard]] inline errc c_write_snapshot(const viz_snapshot& picture, const char* path, std::uint32_t format) noexcept {
  std::FILE* const file = std::fopen(path, "wb");
  if (file == nullptr) return errc::system_refused;
  file_sink to(file);
  const auto write = [&] {
    format == th_snapshot_json ? write_viz_json(picture, to) : write_viz_pickle(picture, to);
    return to.status();
  };
  const errc written = c_call(write, errc::out_of_memory);
  return std::fclose(file) != 0 && written == errc::ok ? errc::system_refused : written;
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
