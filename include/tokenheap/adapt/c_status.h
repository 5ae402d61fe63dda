// What every call of the C interface answers with: a status, and the whole reason where it is not `th_ok`.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus)
#define TOKENHEAP_C_BEGIN extern "C" {
#define TOKENHEAP_C_END }
#define TOKENHEAP_C_NOEXCEPT noexcept
#else
#define TOKENHEAP_C_BEGIN
#define TOKENHEAP_C_END
#define TOKENHEAP_C_NOEXCEPT
#endif
#if defined(__GNUC__)
#define TOKENHEAP_C_API __attribute__((visibility("default")))
#else
#define TOKENHEAP_C_API
#endif

/// What stands in `version` of every struct that has one. Fields are only ever added at the end of a struct.
///
/// Set `size` to `sizeof` the struct and everything else to 0, then what you want: 0 is always the default. A library that
/// is newer takes a shorter struct and fills the rest with defaults; one that is older takes a longer struct as long as
/// what it does not know is 0, and answers `th_unsupported` otherwise.
#define TOKENHEAP_C_VERSION 1u

TOKENHEAP_C_BEGIN

/// Why a call said no. A number that was published once never means anything else; `th_status_code` gives E001 for 1.
typedef enum th_status {
  th_ok = 0,
  th_out_of_memory = 1,     ///< the source below has no more
  th_limit_reached = 2,     ///< a limit of the user's own is in the way
  th_invalid_argument = 3,  ///< the call makes no sense, whatever is free; a null pointer where there must be one
  th_size_overflow = 4,     ///< a product or a sum of sizes does not fit 64 bits
  th_too_large = 5,         ///< could never fit; of texts and lists: longer than the room that was given
  th_double_free = 6,       ///< given back before
  th_foreign_pointer = 7,   ///< never handed out here; a handle that is none
  th_interior_pointer = 8,  ///< points into a piece that is out, but not at its start
  th_wrong_size = 9,        ///< given back with another size; a struct whose `size` is none
  th_stale_handle = 10,     ///< the handle's object was closed; a ticket that is over
  th_not_open = 11,         ///< closed, or never opened
  th_in_use = 12,           ///< somebody still holds it; a batch that is not over
  th_corrupted = 13,        ///< bytes beside an allocation, or freed bytes, were written
  th_leaked = 14,           ///< still out when its allocator ended
  th_system_refused = 15,   ///< the operating system said no
  th_unsupported = 16,      ///< this build or this machine cannot do it
  th_no_device = 17,        ///< no driver, no device, or a driver that has shut down
  th_device_failed = 18,    ///< the device refused a call for another reason than memory
  th_forked = 19            ///< a child process has no device of its parent's
} th_status;

/// A refusal in full. Numbers that say nothing are 0; units stand in `what`. Texts live until the thread's next refusal.
typedef struct th_failure {
  uint32_t size;
  uint32_t version;
  th_status status;
  uint32_t reserved;
  uint64_t need;
  uint64_t available;
  uint64_t limit;
  const void* address;  ///< the pointer concerned, if one is
  const char* code;     ///< E001
  const char* pool;     ///< which pool, source or tier
  const char* what;     ///< what was asked, and what `need`, `available` and `limit` count
  const char* fix;      ///< what the caller can do
} th_failure;

/// The version of the library: major * 1000000 + minor * 1000 + patch.
///
/// Threads   safe
TOKENHEAP_C_API uint32_t th_version(void) TOKENHEAP_C_NOEXCEPT;
/// The words for a status, such as "out of memory"; "unknown" for a number that is none.
///
/// Threads   safe
TOKENHEAP_C_API const char* th_status_text(th_status status) TOKENHEAP_C_NOEXCEPT;
/// The code of a status as logs and docs/errors.md have it, such as "E001"; "E999" for a number that is none.
///
/// Threads   safe
TOKENHEAP_C_API const char* th_status_code(th_status status) TOKENHEAP_C_NOEXCEPT;

/// One line on the last call of this thread that was refused: pool, need, limit, fix. "" if there was none.
///
/// A call that succeeds leaves it as it is. The text lives until the thread's next refusal.
/// Threads   each thread has its own
TOKENHEAP_C_API const char* th_last_error(void) TOKENHEAP_C_NOEXCEPT;
/// The same as numbers and texts.
///
/// Returns   th_ok; what a call returns for a wrong `out` changes nothing of what is remembered
/// Threads   each thread has its own
TOKENHEAP_C_API th_status th_last_failure(th_failure* out) TOKENHEAP_C_NOEXCEPT;
/// Forgets it.
///
/// Threads   each thread has its own
TOKENHEAP_C_API void th_clear_error(void) TOKENHEAP_C_NOEXCEPT;

TOKENHEAP_C_END
