// Sampled stacks in the folded format that flame graphs are drawn from.
#pragma once

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdlib>

#include <tokenheap/core/text.hpp>
#include <tokenheap/observe/allocation_samples.hpp>

namespace tokenheap {
inline namespace v0 {

/// Writes the name of a frame; what it writes must hold no newline. Semicolons become commas.
using frame_name = void (*)(void* return_address, text_buffer& to) noexcept;

/// Names a frame by the symbol that the dynamic linker knows, demangled; else by module and offset, for `addr2line -e`.
///
/// Symbols of the program itself are known when it is linked with `-rdynamic`.
inline void name_by_symbol(void* return_address, text_buffer& to) noexcept {
  // a call may be the last instruction of its function: the address behind it is then another one's
  void* const inside = static_cast<unsigned char*>(return_address) - 1;
  Dl_info found{};
  if (::dladdr(inside, &found) == 0 || found.dli_fname == nullptr) {
    to.hex(address_of(inside));
    return;
  }
  if (found.dli_sname != nullptr) {
    int status = 0;
    char* const plain = abi::__cxa_demangle(found.dli_sname, nullptr, nullptr, &status);
    to << (plain != nullptr ? plain : found.dli_sname);
    std::free(plain);
    return;
  }
  const char* leaf = found.dli_fname;
  for (const char* at = leaf; *at != '\0'; ++at)
    if (*at == '/') leaf = at + 1;
  (to << leaf << "+").hex(address_of(inside) - address_of(found.dli_fbase));
}

/// What a line of the folded format counts, and how frames are named.
struct folded_options {
  /// What the width of a frame is.
  enum class count : unsigned char { live_bytes, live_samples, total_bytes, total_samples };
  count what = count::live_bytes;
  frame_name name = &name_by_symbol;
};

namespace detail {

[[nodiscard]] inline std::size_t folded_value(const sampled_stack& s, folded_options::count what) noexcept {
  switch (what) {
    case folded_options::count::live_bytes: return s.live_bytes;
    case folded_options::count::live_samples: return s.live_samples;
    case folded_options::count::total_bytes: return s.total_bytes;
    case folded_options::count::total_samples: return s.total_samples;
  }
  return 0;
}

/// Writes `owner;outermost;...;innermost value` into the buffer; frames that do not fit are left out from the inside.
inline void write_folded_line(const sampled_stack& s, std::size_t value, frame_name name, text_buffer& line) noexcept {
  constexpr std::size_t room_for_value = 24;
  const auto put = [&](const char* text) {
    char one[2] = {};
    for (; *text != '\0'; ++text) {
      one[0] = *text == ';' ? ',' : *text == '\n' ? ' ' : *text;
      line << one;
    }
  };
  put(*s.owner == '\0' ? "(no owner)" : s.owner);
  for (std::size_t k = s.depth; k-- != 0;) {
    char frame[512];
    text_buffer to(frame, sizeof frame);
    name(s.frames[k], to);
    if (line.length() + to.length() + 1 + room_for_value > 8192) break;
    line << ";";
    put(frame);
  }
  line << " " << value << "\n";
}

}  // namespace detail

/// Writes one line per stack, `write(text, length)`: the input of flamegraph.pl, speedscope and inferno.
///
/// Requires  that nobody allocates meanwhile: put it where the allocator's lock is held, or at a quiet moment
/// Cost      O(stacks * depth) names; takes memory from the heap for demangled names
template <class Write>
void write_folded(const allocation_samples& samples, Write&& write, const folded_options& with = {}) {
  samples.for_each_stack([&](const sampled_stack& s) {
    const std::size_t value = detail::folded_value(s, with.what);
    if (value == 0) return;
    char text[8192];
    text_buffer line(text, sizeof text);
    detail::write_folded_line(s, value, with.name, line);
    write(static_cast<const char*>(text), line.length());
  });
}

}  // namespace v0
}  // namespace tokenheap
