// The two functions through which ggml takes host memory, for a shared object that is loaded before ggml's own.
#pragma once

#include <link.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include <tokenheap/adapt/ggml_door.hpp>
#include <tokenheap/source/pages.hpp>

// Compile a file that includes this into a shared object and start any program of ggml with it:
//
//   LD_PRELOAD=./libtokenheap_ggml.so llama-cli ...
//
// TOKENHEAP_GGML_REPORT   the file that gets the report at the end, "off" for none; stderr if it is not set
// TOKENHEAP_GGML_STACKS   a file for the stacks of the peak, in the folded format that flame graphs are drawn from
// TOKENHEAP_GGML_HUGE     1: asks for huge pages under pieces of 2 MiB and more

// not inlined: what such a function returns to is where a stack begins
#define TOKENHEAP_GGML_SYMBOL extern "C" __attribute__((visibility("default"), used, noinline))

namespace tokenheap {
inline namespace v0 {
namespace adapt {

using ggml_page_door = ggml_door<page_source>;

/// The door of the process. It is never destroyed: ggml frees memory until the very end.
[[nodiscard]] inline ggml_page_door& ggml_door_here() noexcept {
  alignas(ggml_page_door) static unsigned char room[sizeof(ggml_page_door)];
  static ggml_page_door* const made = [] {
    const char* const huge = std::getenv("TOKENHEAP_GGML_HUGE");
    const bool wanted = huge != nullptr && *huge == '1';
    auto* const door = ::new (static_cast<void*>(room))
        ggml_page_door(page_options{.huge = wanted ? huge_pages::transparent : huge_pages::none, .name = "ggml"});
    door->guard_forks();
    return door;
  }();
  return *made;
}

/// Writes what ggml took and who asked for it, one line for each owner.
inline void write_ggml_report(const ggml_page_door& door, std::FILE* to) noexcept {
  const ggml_door_stats now = door.stats();
  ggml_owner_table owners;
  door.sum_up(owners);
  std::fprintf(to, "tokenheap: ggml in process %d: %zu pieces, %zu refused; at the peak %zu bytes asked, %zu held\n",
               static_cast<int>(::getpid()), now.pieces.allocated, now.refused, now.asked.peak, now.held_peak);
  for (std::size_t k = 0; k != owners.size(); ++k) {
    const ggml_owner& o = owners[k];
    std::fprintf(to, "tokenheap:   %12zu bytes at the peak, %zu pieces in all: %s\n", o.peak_bytes, o.ever_pieces, o.name);
  }
  for (std::size_t k = 0; k != owners.size(); ++k) {
    const ggml_owner& o = owners[k];
    if (o.now_pieces == 0) continue;
    std::fprintf(to, "tokenheap:   still out: %zu bytes in %zu pieces: %s\n", o.now_bytes, o.now_pieces, o.name);
  }
  if (now.in_heap != 0)
    std::fprintf(to, "tokenheap:   %zu of these may have ended by free(), as AMX buffers do: nobody is told\n", now.in_heap);
  if (now.lost != 0) std::fprintf(to, "tokenheap:   %zu pieces were too many for the book of owners\n", now.lost);
}

/// True if a library of ggml is loaded. Where it never asked, it was linked so that nobody can stand in for its functions.
[[nodiscard]] inline bool is_ggml_loaded() noexcept {
  return ::dl_iterate_phdr(
             [](dl_phdr_info* module, std::size_t, void*) { return is_ggml_module(module->dlpi_name) ? 1 : 0; }, nullptr) != 0;
}

namespace detail {

/// The file that a variable of the environment names, opened at its end: several processes may share it.
[[nodiscard]] inline std::FILE* file_of(const char* variable) noexcept {
  const char* const path = std::getenv(variable);
  if (path == nullptr || *path == '\0' || std::string_view(path) == "off") return nullptr;
  std::FILE* const file = std::fopen(path, "a");
  if (file == nullptr) std::fprintf(stderr, "tokenheap: %s=%s cannot be opened\n", variable, path);
  return file;
}

inline void report_ggml(ggml_page_door& door, bool asked) noexcept {
  const char* const path = std::getenv("TOKENHEAP_GGML_REPORT");
  if (path != nullptr && std::string_view(path) == "off") return;
  std::FILE* const file = file_of("TOKENHEAP_GGML_REPORT");
  std::FILE* const to = file == nullptr ? stderr : file;
  if (asked) {
    write_ggml_report(door, to);
  } else {
    std::fputs("tokenheap: ggml asked for nothing here: is it linked with -Bsymbolic, or into the program?\n", to);
  }
  file == nullptr ? static_cast<void>(std::fflush(to)) : static_cast<void>(std::fclose(file));
}

inline void fold_ggml(ggml_page_door& door) noexcept {
  std::FILE* const folded = file_of("TOKENHEAP_GGML_STACKS");
  if (folded == nullptr) return;
  door.for_each_stack([&](const sampled_stack& s, std::size_t peak_bytes) {
    if (peak_bytes == 0) return;
    char text[8192];
    text_buffer line(text, sizeof text);
    tokenheap::detail::write_folded_line(s, peak_bytes, &name_by_symbol, line);
    std::fwrite(text, 1, line.length(), folded);
  });
  std::fclose(folded);
}

/// What is written when the process ends. A program that never loaded ggml is left in peace.
inline void end_of_ggml() noexcept {
  ggml_page_door& door = ggml_door_here();
  const bool asked = door.stats().pieces.allocated != 0;
  if (!asked && !is_ggml_loaded()) return;
  report_ggml(door, asked);
  fold_ggml(door);
}

/// Ends after the destructors of C++ objects, which may still free what ggml gave.
struct ggml_farewell {
  __attribute__((destructor, used)) static void say() noexcept { end_of_ggml(); }
};

}  // namespace detail

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap

TOKENHEAP_GGML_SYMBOL inline void* ggml_aligned_malloc(std::size_t bytes) {
  return tokenheap::adapt::ggml_door_here().allocate(bytes, __builtin_return_address(0));
}
TOKENHEAP_GGML_SYMBOL inline void ggml_aligned_free(void* p, std::size_t) {
  tokenheap::adapt::ggml_door_here().deallocate(p);
}

// our own: for programs that want to look while they run

/// 0 bytes asked now, 1 at the peak; 2 bytes held now, 3 at the peak; 4 pieces now, 5 at the peak, 6 ever; 7 refused;
/// 8 misused; ~0 for another number.
TOKENHEAP_GGML_SYMBOL inline std::size_t tokenheap_ggml_stat(int which) {
  const tokenheap::adapt::ggml_door_stats s = tokenheap::adapt::ggml_door_here().stats();
  const std::size_t all[] = {s.asked.current, s.asked.peak,       s.held,    s.held_peak, s.pieces.current,
                             s.pieces.peak,   s.pieces.allocated, s.refused, s.misused};
  return which >= 0 && which < 9 ? all[which] : ~std::size_t{0};
}
/// Appends the report to a file; false if it cannot be opened.
TOKENHEAP_GGML_SYMBOL inline bool tokenheap_ggml_report(const char* path) {
  std::FILE* const to = std::fopen(path, "a");
  if (to == nullptr) return false;
  tokenheap::adapt::write_ggml_report(tokenheap::adapt::ggml_door_here(), to);
  return std::fclose(to) == 0;
}
