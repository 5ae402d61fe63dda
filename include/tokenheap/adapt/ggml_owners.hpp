// Who in a program asked ggml for memory, by the names that the dynamic linker knows.
#pragma once

#include <cstring>

#include <tokenheap/observe/flame.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

namespace detail {

[[nodiscard]] inline bool file_begins(const char* path, const char* with) noexcept {
  if (path == nullptr) return false;
  const char* const slash = std::strrchr(path, '/');
  return std::strncmp(slash == nullptr ? path : slash + 1, with, std::strlen(with)) == 0;
}

}  // namespace detail

/// True for the path of a library of ggml itself: what stands above it on a stack is the one who asked.
[[nodiscard]] inline bool is_ggml_module(const char* path) noexcept { return detail::file_begins(path, "libggml"); }

/// True for an address in ggml's base library, which gives back by ggml_aligned_free all that it takes.
///
/// Others need not: ggml's AMX buffers, in libggml-cpu, end by free().
[[nodiscard]] inline bool is_in_ggml_base(const void* address) noexcept {
  Dl_info found{};
  return ::dladdr(address, &found) != 0 && detail::file_begins(found.dli_fname, "libggml-base");
}

/// Ends the name of a function before its parameters.
inline void drop_parameters(char* name) noexcept {
  for (char* at = name; *at != '\0'; ++at) {
    if (*at != '(' || std::strncmp(at, "(anonymous namespace)", 21) == 0) continue;
    // the parentheses of a call operator are part of its name
    if (at - name >= 8 && std::strncmp(at - 8, "operator()", 10) == 0) continue;
    *at = '\0';
    return;
  }
}

/// Names the innermost function outside ggml's own libraries, without its parameters; else the innermost one of all.
///
/// One that the dynamic linker has no name for (`-rdynamic` gives a program's own names) is module and offset, and the next
/// one that has a name.
inline void name_ggml_owner(void* const* frames, std::size_t depth, text_buffer& to) noexcept {
  if (depth == 0) return static_cast<void>(to << "(unknown)");
  const auto look_up = [&](std::size_t k, Dl_info& found) {
    return ::dladdr(static_cast<unsigned char*>(frames[k]) - 1, &found) != 0;
  };
  const auto put = [&](std::size_t k) {
    char name[512];
    text_buffer whole(name, sizeof name);
    name_by_symbol(frames[k], whole);
    drop_parameters(name);
    to << name;
  };
  Dl_info found{};
  std::size_t owner = 0;
  for (std::size_t k = 0; k != depth; ++k) {
    if (!look_up(k, found) || is_ggml_module(found.dli_fname)) continue;
    owner = k;
    break;
  }
  put(owner);
  if (!look_up(owner, found) || found.dli_sname != nullptr) return;
  for (std::size_t k = owner + 1; k < depth; ++k) {
    if (!look_up(k, found) || found.dli_sname == nullptr) continue;
    to << ", called by ";
    return put(k);
  }
}

/// What one owner took: at the moment of the process's peak, now, and ever.
struct ggml_owner {
  char name[160] = {};
  std::size_t peak_bytes = 0;  ///< of the peak of all owners together
  std::size_t now_bytes = 0;
  std::size_t now_pieces = 0;
  std::size_t ever_pieces = 0;
};

/// Sums stacks up by owner; more owners than it has room for are counted in its last place.
class ggml_owner_table {
 public:
  static constexpr std::size_t most = 32;

  /// The place of the owner of this stack.
  [[nodiscard]] ggml_owner& of(const sampled_stack& s) noexcept {
    char name[sizeof(ggml_owner::name)];
    text_buffer text(name, sizeof name);
    name_ggml_owner(s.frames, s.depth, text);
    for (std::size_t k = 0; k != count_; ++k)
      if (std::strcmp(owners_[k].name, name) == 0) return owners_[k];
    const bool full = count_ == most;
    ggml_owner& o = owners_[full ? most - 1 : count_++];
    std::memcpy(o.name, full ? "(others)" : name, full ? sizeof "(others)" : text.length() + 1);
    return o;
  }
  /// Most bytes at the peak first, then most bytes now.
  void sort() noexcept {
    const auto before = [](const ggml_owner& a, const ggml_owner& b) {
      return a.peak_bytes != b.peak_bytes ? a.peak_bytes > b.peak_bytes : a.now_bytes > b.now_bytes;
    };
    for (std::size_t a = 1; a < count_; ++a) {
      for (std::size_t b = a; b != 0 && before(owners_[b], owners_[b - 1]); --b) {
        const ggml_owner kept = owners_[b];
        owners_[b] = owners_[b - 1];
        owners_[b - 1] = kept;
      }
    }
  }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] const ggml_owner& operator[](std::size_t k) const noexcept { return owners_[k]; }

 private:
  ggml_owner owners_[most] = {};
  std::size_t count_ = 0;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
