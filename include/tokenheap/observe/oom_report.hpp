// Why there was no memory, as one text for a person and one JSON object for a machine.
#pragma once

#include <algorithm>

#include <tokenheap/alloc/shortage.hpp>
#include <tokenheap/kv/events_json.hpp>
#include <tokenheap/observe/error_codes.hpp>

namespace tokenheap {
inline namespace v0 {

/// Why there was no memory, who has it, and how many bytes short the request was.
///
/// Made by `report_of` from the `shortage` of a caching allocator or from any `failure`; a number that says nothing is 0.
struct oom_report {
  errc code = errc::ok;
  const char* pool = "";
  const char* what = "";           ///< what `need` counts; empty: bytes of device memory
  int device = -1;                 ///< -1: none is concerned
  std::size_t need = 0;
  std::size_t limit = 0;
  std::size_t available = 0;       ///< what a request could have had at once
  std::size_t largest_free = 0;
  std::size_t reserved = 0;
  std::size_t cached = 0;
  std::size_t pending = 0;
  std::size_t device_free = 0;
  std::size_t short_by = 0;        ///< `need` less `available`: what must come free, or be added to the limit
  owner_stats top[3] = {};         ///< who holds most
  const char* fix = "";            ///< the pool's own words
};

/// Makes a report of a shortage of device memory.
[[nodiscard]] inline oom_report report_of(const shortage& s) noexcept {
  oom_report r{.code = s.code, .pool = s.pool, .what = "", .device = s.ordinal, .need = s.need, .limit = s.limit,
               .available = 0, .largest_free = s.largest_free, .reserved = s.reserved, .cached = s.cached,
               .pending = s.pending, .device_free = s.device_free, .short_by = 0, .top = {}, .fix = s.fix};
  // a request is served by one free piece, or by new memory within the limit and the device
  const std::size_t within_limit = s.limit > s.reserved ? s.limit - s.reserved : 0;
  r.available = std::max(s.largest_free, std::min(within_limit, s.device_free));
  r.short_by = s.need > r.available ? s.need - r.available : 0;
  for (std::size_t k = 0; k != 3; ++k) r.top[k] = s.top[k];
  return r;
}

/// Makes a report of any failure that counts something.
[[nodiscard]] inline oom_report report_of(const failure& f) noexcept {
  return {.code = f.code, .pool = f.pool, .what = f.what, .device = -1, .need = f.need, .limit = f.limit,
          .available = f.available, .largest_free = 0, .reserved = 0, .cached = 0, .pending = 0, .device_free = 0,
          .short_by = f.need > f.available ? f.need - f.available : 0, .top = {}, .fix = f.fix};
}

/// Writes what to do, with a number to paste, into `out` (always terminated) and returns its length.
inline std::size_t describe_fix(const oom_report& r, char* out, std::size_t capacity) noexcept {
  text_buffer to(out, capacity);
  const bool on_device = r.device >= 0;
  if (r.code == errc::too_large && r.limit != 0) {
    to << "ask for at most " << r.limit << ", or raise the limit to " << r.need;
  } else if (r.code == errc::limit_reached && on_device) {
    to << "raise the owner's hard limit by " << r.short_by << ", or free as much of what it holds";
  } else if (r.code == errc::limit_reached && r.limit != 0) {
    to << "raise the limit of '" << r.pool << "' to " << r.limit + r.short_by << ", or free " << r.short_by;
  } else if (r.code == errc::out_of_memory && on_device && r.cached >= r.need && r.largest_free < r.need) {
    to << r.cached << " are free in pieces of at most " << r.largest_free
       << ": make this class growable, or ask for at most " << r.available;
  } else if (r.code == errc::out_of_memory && on_device && r.device_free >= r.need) {
    to << "raise the allocator's limit to " << r.limit + r.short_by << ", or free " << r.short_by;
  } else if (r.short_by != 0) {
    to << "free " << r.short_by << ", or ask for at most " << r.available;
  } else {
    to << r.fix << " (asked for " << r.need << ")";
    return to.length();
  }
  if (*r.fix != '\0') to << "; " << r.fix;
  return to.length();
}

/// The bytes of the k-th owner that would have to go, taking from the largest owner first.
[[nodiscard]] inline std::size_t must_go(const oom_report& r, std::size_t k) noexcept {
  std::size_t rest = r.short_by;
  for (std::size_t before = 0; before != k; ++before) rest -= std::min(rest, r.top[before].current);
  return std::min(rest, r.top[k].current);
}

/// Writes a report as a few lines into `out` (always terminated) and returns its length.
///
/// Cost      about 1 KiB of text
/// Example   E001 out of memory in pool 'gpu' on device 0: need 4096, limit 10000, available 1024
inline std::size_t describe(const oom_report& r, char* out, std::size_t capacity) noexcept {
  text_buffer to(out, capacity);
  to << code_of(r.code) << " " << to_text(r.code) << " in pool '" << r.pool << "'";
  if (r.device >= 0) to << " on device " << static_cast<std::size_t>(r.device);
  if (*r.what != '\0') to << " (" << r.what << ")";
  to << ": need " << r.need << ", limit " << r.limit << ", available " << r.available << "\n";
  if (r.device >= 0) {
    to << "  reserved " << r.reserved << ", cached " << r.cached << " (largest piece " << r.largest_free << "), pending "
       << r.pending << ", free on the device " << r.device_free << "\n";
  }
  for (std::size_t k = 0; k != 3; ++k) {
    const owner_stats& o = r.top[k];
    if (o.current == 0) continue;
    to << "  " << o.name << " holds " << o.current << " in " << o.pieces << ", at most " << o.peak;
    if (const std::size_t go = must_go(r, k); go != 0) to << "; of these " << go << " would have to go";
    to << "\n";
  }
  char fix[320];
  static_cast<void>(describe_fix(r, fix, sizeof fix));
  to << "  fix: " << fix << "\n  more: docs/errors.md, " << code_of(r.code) << "\n";
  return to.length();
}

namespace detail {

inline void put_owners(text_buffer& to, const oom_report& r) noexcept {
  const char* between = "";
  to << ",\"top\":[";
  for (const owner_stats& o : r.top) {
    if (o.current == 0) continue;
    to << between << "{\"owner\":";
    kv::detail::put_string(to, o.name);
    to << ",\"bytes\":" << o.current << ",\"peak\":" << o.peak << ",\"pieces\":" << o.pieces << "}";
    between = ",";
  }
  between = "";
  to << "],\"must_go\":[";
  for (std::size_t k = 0; k != 3; ++k) {
    const std::size_t go = must_go(r, k);
    if (go == 0) continue;
    to << between << "{\"owner\":";
    kv::detail::put_string(to, r.top[k].name);
    to << ",\"bytes\":" << go << "}";
    between = ",";
  }
  to << "]";
}

}  // namespace detail

/// Writes a report as one JSON object on one line and returns its length; 0 if the buffer is too short for all of it.
inline std::size_t write_json(const oom_report& r, char* out, std::size_t capacity) noexcept {
  text_buffer to(out, capacity);
  to << "{\"code\":\"" << code_of(r.code) << "\",\"reason\":\"" << to_text(r.code) << "\",\"pool\":";
  kv::detail::put_string(to, r.pool);
  to << ",\"what\":";
  kv::detail::put_string(to, r.what);
  to << ",\"device\":";
  r.device < 0 ? to << "null" : to << static_cast<std::size_t>(r.device);
  const struct {
    const char* name;
    std::size_t value;
  } numbers[] = {{"need", r.need}, {"limit", r.limit}, {"available", r.available}, {"largest_free", r.largest_free},
                 {"reserved", r.reserved}, {"cached", r.cached}, {"pending", r.pending},
                 {"device_free", r.device_free}, {"short_by", r.short_by}};
  for (const auto& n : numbers) to << ",\"" << n.name << "\":" << n.value;
  detail::put_owners(to, r);
  char fix[320];
  static_cast<void>(describe_fix(r, fix, sizeof fix));
  to << ",\"fix\":";
  kv::detail::put_string(to, fix);
  to << "}";
  if (to.cut()) to.back_to(0);
  return to.length();
}

}  // namespace v0
}  // namespace tokenheap
