#include <tokenheap/policy/guard.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

using namespace tokenheap;

namespace {

/// What a child process writes to stderr, and how it ended.
template <class F>
std::string in_a_child(F&& work, int& status) {
  int ends[2] = {};
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], 2);
    ::close(ends[0]);
    // the test framework's own reaction to an abort stays out of the child
    ::signal(SIGABRT, SIG_DFL);
    work();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string text;
  char part[256];
  for (ssize_t n = 0; (n = ::read(ends[0], part, sizeof part)) > 0;) text.append(part, static_cast<std::size_t>(n));
  ::close(ends[0]);
  REQUIRE(::waitpid(child, &status, 0) == child);
  return text;
}

const failure misuse{.code = errc::double_free, .pool = "p", .what = "bytes", .need = 64, .fix = "once"};

}  // namespace

TEST_CASE("a report goes to the installed handler, whole", "[policy]") {
  const support::recorder seen;
  report(misuse);
  REQUIRE(seen.only(errc::double_free));
  REQUIRE(seen.line() == "pool 'p': double free: bytes; need 64, available 0; fix: once");
  report_misuse{}.on_misuse(misuse);
  REQUIRE(seen.count() == 2);
}

TEST_CASE("without a handler a report is one line on stderr, and the program goes on", "[policy]") {
  int status = 0;
  const std::string text = in_a_child([] { report(misuse); }, status);
  REQUIRE(text == "tokenheap: pool 'p': double free: bytes; need 64, available 0; fix: once\n");
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
}

TEST_CASE("abort_on_misuse reports, then stops the program", "[policy][bad]") {
  int status = 0;
  const std::string text = in_a_child([] { abort_on_misuse{}.on_misuse(misuse); }, status);
  REQUIRE(text == "tokenheap: pool 'p': double free: bytes; need 64, available 0; fix: once\n");
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(WTERMSIG(status) == SIGABRT);
}

TEST_CASE("a guard is its shape and takes no space", "[policy]") {
  STATIC_REQUIRE(std::is_empty_v<guard<>>);
  STATIC_REQUIRE(guard<guard_shape{.canary = 8}>::shape.canary == 8);
  STATIC_REQUIRE(guard<>::shape.quarantine == 0);
}
