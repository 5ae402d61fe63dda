// What a simulated device found wrong with the program that called it.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/core/text.hpp>
#include <tokenheap/device/sim_hooks.hpp>

namespace tokenheap {
inline namespace v0 {

/// The kinds of misuse that a simulated device sees.
enum class sim_wrong : std::uint8_t {
  race,              ///< two accesses to the same bytes, one of them a write, that some timing lets overlap
  no_memory,         ///< an access to bytes that are no memory of any device, and not pinned
  freed_memory,      ///< an access to memory that was given back or unmapped
  no_access,         ///< mapped without `set_access`, or memory of a device that is no peer
  host_on_device,    ///< the host touches memory of the device
  double_free,       ///< given back before
  foreign_free,      ///< never given out, or not at its start
  unmapped_in_use,   ///< addresses taken away while work that uses them may still run
  stale_stream,      ///< a handle that means another stream by now, or in this thread
  dead_stream,       ///< a handle of a stream that was destroyed
  dead_event,        ///< an event that was destroyed
  call_in_callback,  ///< a call of the device out of a host callback
  call_in_child,     ///< a call of the device in a forked child
};

[[nodiscard]] constexpr const char* to_text(sim_wrong kind) noexcept {
  constexpr const char* names[] = {"race", "no memory", "freed memory", "no access", "host on device", "double free",
                                   "foreign free", "unmapped in use", "stale stream", "dead stream", "dead event",
                                   "call in callback", "call in child"};
  static_assert(sizeof names / sizeof *names == static_cast<unsigned>(sim_wrong::call_in_child) + 1);
  return names[static_cast<unsigned>(kind)];
}

/// Stands where a `sim_call` stands, for what the host did without the device.
inline constexpr std::uint8_t sim_host_access = 255;

/// Who took part in a violation: a stream or a host thread, and by which call.
struct sim_party {
  std::uint8_t call = sim_host_access;  ///< a `sim_call`, or `sim_host_access`
  bool is_host = true;
  bool writes = false;
  int device = 0;        ///< of the stream
  std::uint64_t id = 0;  ///< of the stream; or the number of the host thread

  /// Writes such as "copy writes on stream 3 of device 0" into a line.
  void describe(text_buffer& line, bool touches = true) const noexcept {
    line << (call < sim_calls ? to_text(static_cast<sim_call>(call)) : "the program");
    if (touches) line << (writes ? " writes" : " reads");
    line << (is_host ? " on host thread " : " on stream ");
    line << static_cast<std::size_t>(id);
    if (!is_host) line << " of device " << static_cast<std::size_t>(device);
  }
};

/// One finding: what is wrong, where, and who was there first and second.
///
/// `first` says something for a race and for `unmapped_in_use` alone.
struct sim_violation {
  sim_wrong kind = sim_wrong::race;
  std::uintptr_t address = 0;
  std::size_t bytes = 0;
  sim_party first{};
  sim_party second{};
};

/// Writes a violation as one line into `out` (always terminated) and returns its length without the terminator.
///
/// Example   race at 0x200000000000, 512 bytes: launch writes on stream 3 of device 0; then copy reads on stream 4 of device 0
inline std::size_t describe(const sim_violation& v, char* out, std::size_t capacity) noexcept {
  text_buffer line(out, capacity);
  line << to_text(v.kind);
  if (v.address != 0) (line << " at ").hex(v.address);
  if (v.bytes != 0) line << ", " << v.bytes << " bytes";
  line << ": ";
  if (v.kind == sim_wrong::race || v.kind == sim_wrong::unmapped_in_use) {
    v.first.describe(line);
    line << "; then ";
  }
  // a call with a bad argument touched nothing
  v.second.describe(line, v.bytes != 0);
  return line.length();
}

}  // namespace v0
}  // namespace tokenheap
