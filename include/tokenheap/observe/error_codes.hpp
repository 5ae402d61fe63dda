// A stable code for each reason of a refusal: what logs are searched for and what docs/errors.md lists.
#pragma once

#include <cstring>

#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {

/// A reason of a refusal and its code, such as E001. A code that was published once never means anything else.
struct error_code {
  errc reason = errc::ok;
  const char* code = "";
  const char* what_to_do = "";  ///< the usual answer, where the failure itself has no better one
};

/// All reasons, in the order of their codes.
inline constexpr error_code error_codes[] = {
    {errc::ok, "E000", "nothing: the call did what was asked"},
    {errc::out_of_memory, "E001", "free memory below the pool, or ask for less"},
    {errc::limit_reached, "E002", "raise the limit, or free what its owner holds"},
    {errc::invalid_argument, "E003", "mend the call: its arguments make no sense, whatever is free"},
    {errc::size_overflow, "E004", "mend the sizes: their product or sum does not fit 64 bits"},
    {errc::too_large, "E005", "ask for less than the pool's limit, or make the pool larger"},
    {errc::double_free, "E006", "give each piece back once"},
    {errc::foreign_pointer, "E007", "give each piece back to the pool that handed it out"},
    {errc::interior_pointer, "E008", "give back the pointer that was handed out, not one behind it"},
    {errc::wrong_size, "E009", "give back the size that was granted"},
    {errc::stale_handle, "E010", "take a new handle: the object was closed or its place reused"},
    {errc::not_open, "E011", "open it first, and look at what opening returned"},
    {errc::in_use, "E012", "wait until its users are done, or end them first"},
    {errc::corrupted, "E013", "find who writes past the end or after the free: run under AddressSanitizer"},
    {errc::leaked, "E014", "give everything back before the pool ends; sampled stacks show who did not"},
    {errc::system_refused, "E015", "ask `tokenheap doctor` which limit of this machine is in the way"},
    {errc::unsupported, "E016", "choose a way that this machine has: `tokenheap doctor` lists them"},
    {errc::no_device, "E017", "run where a device and its driver are, or use device/sim.hpp"},
    {errc::device_failed, "E018", "look at the device's own error; restart the process if the device is lost"},
    {errc::forked, "E019", "open the device in the child, after the fork"},
};

/// The entry of a reason; null for a number that is no reason.
[[nodiscard]] constexpr const error_code* find_error(errc reason) noexcept {
  for (const error_code& e : error_codes)
    if (e.reason == reason) return &e;
  return nullptr;
}
/// The entry of a code as it stands in a log, or null.
[[nodiscard]] inline const error_code* find_error(const char* code) noexcept {
  for (const error_code& e : error_codes)
    if (code != nullptr && std::strcmp(e.code, code) == 0) return &e;
  return nullptr;
}
/// The code of a reason; "E999" for a number that is no reason.
[[nodiscard]] constexpr const char* code_of(errc reason) noexcept {
  const error_code* const e = find_error(reason);
  return e == nullptr ? "E999" : e->code;
}

}  // namespace v0
}  // namespace tokenheap
