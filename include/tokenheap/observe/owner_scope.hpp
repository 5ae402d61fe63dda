// Whose work a thread is doing: what samples are grouped by.
#pragma once

namespace tokenheap {
inline namespace v0 {

/// Says for whom this thread allocates until the end of the scope; scopes nest.
///
/// Example   owner_scope mine("tokenizer");
class [[nodiscard]] owner_scope {
 public:
  /// `name` lives as long as everything that keeps samples: a literal.
  explicit owner_scope(const char* name) noexcept : before_(slot()) { slot() = name; }
  owner_scope(const owner_scope&) = delete;
  owner_scope& operator=(const owner_scope&) = delete;
  ~owner_scope() { slot() = before_; }

  /// The innermost name of this thread; null outside every scope.
  [[nodiscard]] static const char* current() noexcept { return slot(); }

 private:
  [[nodiscard]] static const char*& slot() noexcept {
    static thread_local const char* name = nullptr;
    return name;
  }

  const char* before_;
};

}  // namespace v0
}  // namespace tokenheap
