// The functions of c_status.h.
#pragma once

#include <tokenheap/adapt/c_structs.hpp>
#include <tokenheap/observe/error_codes.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// The reason behind a status, or one that no call returns.
[[nodiscard]] constexpr errc c_errc_of(th_status status) noexcept {
  const auto number = static_cast<unsigned>(status);
  return number <= static_cast<unsigned>(errc::forked) ? static_cast<errc>(number) : static_cast<errc>(0xff);
}

TOKENHEAP_C_SYMBOL uint32_t th_version(void) noexcept {
  return TOKENHEAP_VERSION_MAJOR * 1000000u + TOKENHEAP_VERSION_MINOR * 1000u + TOKENHEAP_VERSION_PATCH;
}
TOKENHEAP_C_SYMBOL const char* th_status_text(th_status status) noexcept { return to_text(c_errc_of(status)); }
TOKENHEAP_C_SYMBOL const char* th_status_code(th_status status) noexcept { return code_of(c_errc_of(status)); }

TOKENHEAP_C_SYMBOL const char* th_last_error(void) noexcept { return c_last_reason().line; }
TOKENHEAP_C_SYMBOL th_status th_last_failure(th_failure* out) noexcept {
  const c_reason& last = c_last_reason();
  th_failure now{};
  now.status = last.status;
  now.need = last.need;
  now.available = last.available;
  now.limit = last.limit;
  now.address = last.address;
  now.code = code_of(c_errc_of(last.status));
  now.pool = last.pool;
  now.what = last.what;
  now.fix = last.fix;
  // a struct of a wrong size must not take away the reason that was asked for
  detail::c_head head;
  if (const failure wrong = detail::read_c_head(out, "th_failure", head); wrong.code != errc::ok) return c_status_of(wrong.code);
  return c_write(now, out, "th_failure");
}
TOKENHEAP_C_SYMBOL void th_clear_error(void) noexcept { c_last_reason() = c_reason{}; }

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
