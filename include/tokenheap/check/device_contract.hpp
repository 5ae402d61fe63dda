// What every device promises, as functions that any test framework can call on any type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tokenheap/check/verdict.hpp>
#include <tokenheap/concepts/device.hpp>
#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// What a device under test can do, and how much of it the suite may take.
struct device_contract_options {
  std::size_t bytes = 64 * KiB;     ///< the size of a piece
  std::size_t impossible = ~std::size_t{0} >> 2;  ///< a size that the device must refuse
  bool holds_bytes = true;          ///< what is copied in comes out again
};

/// Checks memory of the device and pinned memory: alignment, numbers, refusals.
template <device Device>
[[nodiscard]] verdict check_device_memory(Device& d, const device_contract_options& with = {}) noexcept {
  verdict v;
  device_memory before;
  v.expect(bool(d.memory(before)) && before.available <= before.total, "memory: no more is available than there is");
  void* p = nullptr;
  void* q = nullptr;
  v.expect(bool(d.allocate(with.bytes, p)) && p != nullptr, "allocate gives memory", with.bytes);
  v.expect(bool(d.allocate(1, q)) && q != nullptr && q != p, "allocate gives every piece its own address", 1);
  v.expect(is_power_of_two(d.alignment()), "alignment is a power of two", d.alignment());
  v.expect(address_of(p) % d.alignment() == 0 && address_of(q) % d.alignment() == 0, "allocate honours alignment()");
  v.expect(bool(d.deallocate(p)) && bool(d.deallocate(q)), "deallocate takes what allocate gave");
  v.expect(bool(d.deallocate(nullptr)), "deallocate takes null");

  int mark = 0;
  void* out = &mark;
  v.expect(!d.allocate(with.impossible, out), "allocate refuses what no device has", with.impossible);
  v.expect(out == &mark, "a refused allocate leaves its output as it was");
  v.expect(bool(d.allocate(with.bytes, p)) && bool(d.deallocate(p)), "a refusal changes nothing: the next allocate works");

  v.expect(bool(d.allocate_pinned(with.bytes, p)) && p != nullptr, "allocate_pinned gives memory", with.bytes);
  if (p != nullptr) {
    std::memset(p, 0x5A, with.bytes);
    v.expect(static_cast<unsigned char*>(p)[with.bytes - 1] == 0x5A, "the host can touch pinned memory", with.bytes);
  }
  v.expect(bool(d.deallocate_pinned(p)) && bool(d.deallocate_pinned(nullptr)), "deallocate_pinned takes it, and null");
  v.expect(!d.allocate_pinned(with.impossible, out) && out == &mark, "a refused allocate_pinned leaves its output as it was");
  alignas(4096) static unsigned char host[8192];
  v.expect(bool(d.register_host(host, sizeof host)) && bool(d.unregister_host(host)), "host memory is registered and back");
  return v;
}

/// Checks that streams have identities, events mean the work before them, and queries answer what was waited for.
template <device Device>
[[nodiscard]] verdict check_device_order(Device& d, const device_contract_options& with = {}) noexcept {
  verdict v;
  typename Device::stream a{};
  typename Device::stream b{};
  typename Device::stream seen{};
  typename Device::event e{};
  void* p = nullptr;
  const bool made = d.create_stream(a) && d.create_stream(b) && d.create_event(e) && d.allocate(with.bytes, p);
  v.expect(made, "streams, events and memory can be made");
  if (!made) return v;
  v.expect(!(a == b), "two streams have two identities");
  v.expect(bool(d.identify(a.handle, seen)) && seen == a, "identify gives a stream the identity that create_stream gave");
  v.expect(bool(d.query_event(e)) && bool(d.synchronize_event(e)), "an event that was never recorded is complete");
  v.expect(bool(d.wait(b, e)), "a stream can wait for an event that was never recorded");
  bool capturing = true;
  v.expect(bool(d.is_capturing(a, capturing)) && !capturing, "a stream captures nothing until somebody begins");

  v.expect(bool(d.fill(p, 1, with.bytes, a)) && bool(d.record(e, a)), "work and an event are put into a stream", with.bytes);
  const device_error early = d.query_event(e).error;
  v.expect(early == device_error::ok || early == device_error::not_ready, "a query answers ok or not_ready");
  v.expect(bool(d.wait(b, e)) && bool(d.fill(p, 2, with.bytes, b)), "another stream waits for the event");
  v.expect(bool(d.synchronize_event(e)) && bool(d.query_event(e)), "an event that was waited for is complete");
  v.expect(bool(d.synchronize(b)) && bool(d.query(b)) && bool(d.query(a)), "a stream that was waited for is done");
  v.expect(bool(d.fill(p, 3, with.bytes, a)) && bool(d.record(e, a)), "an event can be recorded again");
  v.expect(bool(d.synchronize()) && bool(d.query_event(e)) && bool(d.query(a)), "nothing is open when the device was waited for");

  const auto before = a;
  v.expect(bool(d.destroy_stream(a)) && bool(d.create_stream(a)), "a stream is destroyed and another one made");
  v.expect(!(a == before) && !(a == b), "a new stream has an identity that no stream had before");
  int ordinal = -1;
  v.expect(bool(d.current(ordinal)) && ordinal >= 0, "the thread has a current device");
  const char* const text = d.to_text({device_error::out_of_memory, 0});
  v.expect(text != nullptr && *text != '\0', "to_text says something");
  const bool gone = d.deallocate(p) && d.destroy_event(e) && d.destroy_stream(a) && d.destroy_stream(b);
  v.expect(gone, "everything that was made can be given back");
  return v;
}

/// Checks that copies and fills move bytes, in stream order.
///
/// For devices that hold bytes; the addresses of a simulated device may be nothing else.
template <device Device>
[[nodiscard]] verdict check_device_bytes(Device& d, const device_contract_options& with = {}) noexcept {
  verdict v;
  if (!with.holds_bytes) return v;
  typename Device::stream s{};
  void* on_device = nullptr;
  void* other = nullptr;
  void* pinned = nullptr;
  const std::size_t n = with.bytes;
  const bool made = d.create_stream(s) && d.allocate(n, on_device) && d.allocate(n, other) && d.allocate_pinned(n, pinned);
  v.expect(made, "what a copy needs can be made");
  if (!made) return v;
  auto* const bytes = static_cast<unsigned char*>(pinned);
  for (std::size_t k = 0; k != n; ++k) bytes[k] = static_cast<unsigned char>(k * 7 + 3);
  v.expect(bool(d.copy(on_device, pinned, n, s)), "copy to the device", n);
  v.expect(bool(d.fill(on_device, 0xEE, 16, s)), "fill after a copy", 16);
  v.expect(bool(d.copy(other, on_device, n, s)), "copy on the device", n);
  v.expect(bool(d.synchronize(s)), "wait for copies");
  std::memset(pinned, 0, n);
  v.expect(bool(d.copy(pinned, other, n, s)) && bool(d.synchronize(s)), "copy back", n);
  bool same = true;
  for (std::size_t k = 0; k != n; ++k) same = same && bytes[k] == (k < 16 ? 0xEE : static_cast<unsigned char>(k * 7 + 3));
  v.expect(same, "copies and fills come one after the other in a stream", n);
  const bool gone = d.deallocate(on_device) && d.deallocate(other) && d.deallocate_pinned(pinned) && d.destroy_stream(s);
  v.expect(gone, "what a copy needed can be given back");
  return v;
}

/// Checks that addresses and memory come and go apart. A device that answers 0 for its pages is checked for refusals.
template <virtual_device Device>
[[nodiscard]] verdict check_device_pages(Device& d, const device_contract_options& with = {}) noexcept {
  verdict v;
  const std::size_t page = d.page_bytes();
  int mark = 0;
  void* at = &mark;
  typename Device::pages one{};
  typename Device::pages two{};
  if (page == 0) {
    v.expect(!d.reserve(2 * MiB, 0, at) && at == &mark, "a device without pages reserves nothing");
    v.expect(!d.create_pages(2 * MiB, one), "a device without pages makes none");
    return v;
  }
  v.expect(!d.reserve(page + 1, 0, at) && at == &mark, "reserve refuses parts of a page, and leaves its output", page + 1);
  const bool made = d.reserve(4 * page, 0, at) && d.create_pages(page, one) && d.create_pages(page, two);
  v.expect(made, "addresses and pages can be made", page);
  if (!made) return v;
  v.expect(address_of(at) % page == 0, "reserve gives whole pages", page);
  v.expect(bool(d.map(at, page, one)) && bool(d.map(offset(at, page), page, two)), "pages are mapped side by side", page);
  v.expect(!d.map(at, page, two), "addresses that are mapped are not mapped again", page);
  v.expect(bool(d.set_access(at, 2 * page)), "access over two mappings", 2 * page);
  typename Device::stream s{};
  v.expect(bool(d.create_stream(s)), "a stream can be made");
  v.expect(bool(d.fill(offset(at, page - 8), 7, 16, s)) && bool(d.synchronize(s)), "mapped memory can be written", 16);
  v.expect(bool(d.unmap(at, page)) && bool(d.map(offset(at, 2 * page), page, one)), "pages move to other addresses", page);
  v.expect(bool(d.set_access(offset(at, 2 * page), page)), "access after the move", page);
  if (with.holds_bytes) {
    unsigned char back[8] = {};
    v.expect(bool(d.copy(back, offset(at, 3 * page - 8), 8, s)) && bool(d.synchronize(s)), "moved pages can be read", 8);
    v.expect(back[0] == 7 && back[7] == 7, "pages keep their bytes when they move", 8);
  }
  v.expect(bool(d.release_pages(one)) && bool(d.release_pages(two)), "pages can be released while they are mapped");
  v.expect(bool(d.unmap(at, 4 * page)), "unmap takes every mapping of a range", 4 * page);
  v.expect(bool(d.unreserve(at, 4 * page)) && bool(d.destroy_stream(s)), "addresses can be given back", 4 * page);
  return v;
}

/// The whole suite: everything that the concepts promise and one caller can see.
///
/// Requires  a device that nobody else uses meanwhile
template <device Device>
[[nodiscard]] verdict check_device(Device& d, const device_contract_options& with = {}) noexcept {
  verdict v = check_device_memory(d, with);
  v += check_device_order(d, with);
  v += check_device_bytes(d, with);
  if constexpr (virtual_device<Device>) v += check_device_pages(d, with);
  return v;
}

}  // namespace v0
}  // namespace tokenheap
