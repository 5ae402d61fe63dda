// Questions that a device can answer: memory, streams, events, copies, and addresses apart from the memory behind them.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace tokenheap {
inline namespace v0 {

/// What a call of a device came to, whatever its driver calls it.
enum class device_error : std::uint8_t {
  ok,
  not_ready,        ///< work before the event or on the stream is not done; an answer, not a failure
  out_of_memory,    ///< the device, or the host for pinned memory, has no more
  invalid_value,    ///< an argument makes no sense
  invalid_handle,   ///< the stream or event does not exist, or no longer
  no_device,        ///< no driver, no device, or a driver that does not fit
  gone,             ///< the driver has shut down: the process is ending
  capture_refused,  ///< not allowed while a stream is being captured
  capture_broken,   ///< the capture was made invalid, by this call or by one before
  forked,           ///< the process is a child of the one that opened the device
  unsupported,      ///< this device cannot do it
  failed,           ///< anything else; the work on the device is lost
};

/// The answer of every call of a device: the kind of the error, and the driver's own number for it.
struct device_status {
  device_error error = device_error::ok;
  int native = 0;

  constexpr explicit operator bool() const noexcept { return error == device_error::ok; }
  friend constexpr bool operator==(const device_status&, const device_status&) = default;
};

/// A stream: the driver's handle, and an identity that no later stream will have.
///
/// A driver may give the handle of a destroyed stream to a new one, and one handle may mean another stream in each host
/// thread; `id` tells them apart. Streams are compared by `id` alone. Get it from `create_stream`, or from `identify` for
/// a stream that somebody else made.
template <class Native>
struct device_stream {
  using native = Native;
  Native handle{};
  std::uint64_t id = 0;
  friend constexpr bool operator==(const device_stream& a, const device_stream& b) noexcept { return a.id == b.id; }
};

/// How much memory a device has, in bytes.
struct device_memory {
  std::size_t available = 0;
  std::size_t total = 0;
};

template <class D>
concept names_its_handles = requires(const typename D::stream& s) {
  typename D::stream::native;
  typename D::event;
  { s.id } -> std::convertible_to<std::uint64_t>;
};

template <class D>
concept gives_device_memory = requires(D& d, std::size_t n, void* p, void*& out, device_memory& memory) {
  { d.allocate(n, out) } noexcept -> std::same_as<device_status>;
  { d.deallocate(p) } noexcept -> std::same_as<device_status>;
  { d.memory(memory) } noexcept -> std::same_as<device_status>;
};

template <class D>
concept gives_pinned_memory = requires(D& d, std::size_t n, void* p, void*& out) {
  { d.allocate_pinned(n, out) } noexcept -> std::same_as<device_status>;
  { d.deallocate_pinned(p) } noexcept -> std::same_as<device_status>;
  { d.register_host(p, n) } noexcept -> std::same_as<device_status>;
  { d.unregister_host(p) } noexcept -> std::same_as<device_status>;
};

template <class D>
concept makes_streams = requires(D& d, typename D::stream s, typename D::stream& out, typename D::stream::native native) {
  { d.create_stream(out) } noexcept -> std::same_as<device_status>;
  { d.destroy_stream(s) } noexcept -> std::same_as<device_status>;
  { d.identify(native, out) } noexcept -> std::same_as<device_status>;
};

template <class D>
concept orders_streams = requires(D& d, typename D::stream s, typename D::event e) {
  { d.wait(s, e) } noexcept -> std::same_as<device_status>;
  { d.synchronize(s) } noexcept -> std::same_as<device_status>;
  { d.query(s) } noexcept -> std::same_as<device_status>;
};

template <class D>
concept knows_captures = requires(D& d, typename D::stream s, bool& out) {
  { d.is_capturing(s, out) } noexcept -> std::same_as<device_status>;
};

template <class D>
concept makes_events = requires(D& d, typename D::stream s, typename D::event e, typename D::event& out) {
  { d.create_event(out) } noexcept -> std::same_as<device_status>;
  { d.destroy_event(e) } noexcept -> std::same_as<device_status>;
  { d.record(e, s) } noexcept -> std::same_as<device_status>;
  { d.query_event(e) } noexcept -> std::same_as<device_status>;
  { d.synchronize_event(e) } noexcept -> std::same_as<device_status>;
};

template <class D>
concept moves_bytes = requires(D& d, typename D::stream s, void* to, const void* from, std::size_t n, unsigned char byte) {
  { d.copy(to, from, n, s) } noexcept -> std::same_as<device_status>;
  { d.fill(to, byte, n, s) } noexcept -> std::same_as<device_status>;
};

template <class D>
concept names_itself = requires(D& d, device_status status, int& out) {
  { d.ordinal() } noexcept -> std::same_as<int>;
  { d.current(out) } noexcept -> std::same_as<device_status>;
  { d.synchronize() } noexcept -> std::same_as<device_status>;
  { d.alignment() } noexcept -> std::same_as<std::size_t>;
  { d.to_text(status) } noexcept -> std::same_as<const char*>;
};

/// Runs streams and owns memory: what an allocator of device memory stands on. A small copyable handle.
///
/// Every call names its device by the handle and leaves the current device of the calling thread as it was. A call that
/// fails leaves its output arguments as they were. `record` takes all work that the stream has at that moment; an event
/// that was never recorded is complete. `wait` and `record` return at once. `copy` and `fill` run in the order of their
/// stream. `deallocate` waits for the device, and null is fine. `allocate` leaves a capture that runs on another stream or
/// thread as it is, where the driver can do that. `current` is the ordinal of the thread's current device;
/// `alignment` is what every address of `allocate` is a multiple of.
///
/// Requires  a text from `to_text` that lives as long as the program
/// Threads   safe
template <class D>
concept device = std::copyable<D> && names_its_handles<D> && gives_device_memory<D> && gives_pinned_memory<D> &&
                 makes_streams<D> && orders_streams<D> && knows_captures<D> && makes_events<D> && moves_bytes<D> &&
                 names_itself<D>;

template <class D>
concept names_its_pages = requires { typename D::pages; };

template <class D>
concept reserves_addresses = requires(D& d, std::size_t n, void* p, void*& out) {
  { d.page_bytes() } noexcept -> std::same_as<std::size_t>;
  { d.reserve(n, n, out) } noexcept -> std::same_as<device_status>;
  { d.unreserve(p, n) } noexcept -> std::same_as<device_status>;
};

template <class D>
concept makes_pages = requires(D& d, std::size_t n, typename D::pages pages, typename D::pages& out) {
  { d.create_pages(n, out) } noexcept -> std::same_as<device_status>;
  { d.release_pages(pages) } noexcept -> std::same_as<device_status>;
};

template <class D>
concept maps_device_pages = requires(D& d, void* p, std::size_t n, typename D::pages pages) {
  { d.map(p, n, pages) } noexcept -> std::same_as<device_status>;
  { d.set_access(p, n) } noexcept -> std::same_as<device_status>;
  { d.unmap(p, n) } noexcept -> std::same_as<device_status>;
};

/// A device that can reserve addresses, and put memory behind them later.
///
/// `reserve(bytes, alignment, address)` takes addresses without memory (alignment 0: the device's own choice);
/// `create_pages(bytes, pages)` takes memory without an address; `map(address, bytes, pages)` joins them, and
/// `set_access` lets this device read and write. All sizes and addresses are multiples of `page_bytes`, which is 0 where
/// the device cannot do any of this. One handle of pages is mapped and unmapped whole; `unmap` over a range takes every
/// mapping in it. Pages that are released while they are mapped live until they are unmapped. `unmap` does not wait for
/// work on the device: who calls it has made sure that none uses the range.
///
/// Threads   safe
template <class D>
concept virtual_device = device<D> && names_its_pages<D> && reserves_addresses<D> && makes_pages<D> && maps_device_pages<D>;

[[nodiscard]] constexpr const char* to_text(device_error error) noexcept {
  switch (error) {
    case device_error::ok: return "ok";
    case device_error::not_ready: return "not ready";
    case device_error::out_of_memory: return "out of memory";
    case device_error::invalid_value: return "invalid value";
    case device_error::invalid_handle: return "invalid handle";
    case device_error::no_device: return "no device";
    case device_error::gone: return "the driver is gone";
    case device_error::capture_refused: return "not allowed while capturing";
    case device_error::capture_broken: return "the capture is broken";
    case device_error::forked: return "in a forked child";
    case device_error::unsupported: return "unsupported";
    case device_error::failed: return "failed";
  }
  return "unknown";
}

}  // namespace v0
}  // namespace tokenheap
