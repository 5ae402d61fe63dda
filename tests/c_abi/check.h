/* What the C programs of the tests share: one line about the first expectation that does not hold, and the exit status. */
#pragma once

#include <stdio.h>
#include <string.h>

#include <tokenheap/adapt/c.h>

static int failed = 0;

#define CHECK(condition)                                                                                             \
  do {                                                                                                               \
    if (!(condition)) {                                                                                              \
      fprintf(stderr, "%s:%d: expected %s; last error: %s\n", __FILE__, __LINE__, #condition, th_last_error());      \
      failed = 1;                                                                                                    \
    }                                                                                                                \
  } while (0)

/* `status` is the answer, and the thread's last refusal says the same and these numbers */
#define CHECK_REFUSED(call, expected, wanted_need, wanted_limit)                                                     \
  do {                                                                                                               \
    th_failure why_ = {0};                                                                                           \
    why_.size = (uint32_t)sizeof why_;                                                                               \
    why_.version = TOKENHEAP_C_VERSION;                                                                              \
    const th_status status_ = (call);                                                                                \
    CHECK(th_last_failure(&why_) == th_ok);                                                                          \
    if (status_ != (expected) || why_.status != (expected) || why_.need != (wanted_need) || why_.limit != (wanted_limit)) { \
      fprintf(stderr, "%s:%d: %s answered %s (%s), need %llu, limit %llu\n", __FILE__, __LINE__, #call,              \
              th_status_text(status_), th_last_error(), (unsigned long long)why_.need, (unsigned long long)why_.limit); \
      failed = 1;                                                                                                    \
    }                                                                                                                \
  } while (0)

/* a struct of the interface with its first two fields set */
#define NEW(type, name) \
  type name;            \
  memset(&name, 0, sizeof name); \
  name.size = (uint32_t)sizeof name; \
  name.version = TOKENHEAP_C_VERSION
