#include <tokenheap/source/pages.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>

#include <string>
#include <utility>
#include <vector>

#include <signal.h>
#include <sys/wait.h>

using namespace tokenheap;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#elif __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

namespace {

// the kernel, with a failure to order for each of its calls, and a count of what is mapped
struct staged_calls : linux_calls {
  static inline int map_error, huge_error, unmap_error, close_error, advise_error, bind_error, lock_error;
  static inline int unmap_after;
  static inline std::size_t limit, count;
  static inline long mapped;
  static inline int huge_over_a_region;

  static void calm() {
    map_error = huge_error = unmap_error = close_error = advise_error = bind_error = lock_error = unmap_after = 0;
    limit = 65530;
    count = 50;
    mapped = 0;
    huge_over_a_region = 0;
  }
  static void* map(void* at, std::size_t bytes, bool huge, int& error) noexcept {
    if (huge && at != nullptr) ++huge_over_a_region;
    error = huge ? huge_error : map_error;
    if (error != 0) return nullptr;
    // no machine must have 2 MiB pages set aside for this
    void* const got = linux_calls::map(at, bytes, false, error);
    if (got != nullptr && at == nullptr) mapped += static_cast<long>(bytes);
    return got;
  }
  static int unmap(void* at, std::size_t bytes) noexcept {
    if (unmap_error != 0 && unmap_after-- <= 0) return std::exchange(unmap_error, 0);
    mapped -= static_cast<long>(bytes);
    return linux_calls::unmap(at, bytes);
  }
  static int close_off(void* at, std::size_t n) noexcept { return close_error ? close_error : linux_calls::close_off(at, n); }
  static int advise_huge(void*, std::size_t) noexcept { return advise_error; }
  static int bind(void*, std::size_t, unsigned) noexcept { return bind_error; }
  static int lock(void*, std::size_t) noexcept { return lock_error; }
  static std::size_t lock_limit() noexcept { return 8 * MiB; }
  static std::size_t map_limit() noexcept { return limit; }
  static std::size_t map_count() noexcept { return count; }
};
using staged_source = basic_page_source<staged_calls>;

// true if touching the byte kills a child
bool faults(void* at) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGSEGV, [](int) { ::_exit(42); });
    *static_cast<volatile unsigned char*>(at) = 1;
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 42;
}

}  // namespace

TEST_CASE("pages: whole zeroed pages, given back with either size", "[pages]") {
  page_source source;
  const std::size_t page = linux_calls::page_bytes();
  const allocation a = source.allocate(page + 1);
  REQUIRE(a);
  CHECK(a.size == 2 * page);
  CHECK(address_of(a.data) % page == 0);
  CHECK(static_cast<unsigned char*>(a.data)[a.size - 1] == 0);
  const allocation b = source.allocate(1);
  CHECK(source.mapped() == 3 * page);
  CHECK(source.regions() == 2);
  source.deallocate({a.data, page + 1});
  source.deallocate(b);
  CHECK(source.mapped() == 0);
  CHECK(source.is_valid());
}

TEST_CASE("pages: any alignment, and nothing mapped besides", "[pages]") {
  staged_calls::calm();
  for (const bool guards : {false, true}) {
    staged_source source({.guards = guards});
    const auto fences = static_cast<long>(guards ? 2 * staged_calls::page_bytes() : 0);
    for (std::size_t alignment = 1; alignment <= GiB; alignment *= 8) {
      CAPTURE(alignment, guards);
      const allocation a = source.allocate(10000, alignment);
      REQUIRE(a);
      CHECK(address_of(a.data) % alignment == 0);
      CHECK(staged_calls::mapped == 12288 + fences);
      source.deallocate(a);
      CHECK(staged_calls::mapped == 0);
    }
  }
}

TEST_CASE("pages: fences fault on both sides, the region does not", "[pages]") {
  page_source source({.guards = true});
  const allocation a = source.allocate(8192);
  REQUIRE(a);
  CHECK(faults(static_cast<unsigned char*>(a.data) - 1));
  CHECK(faults(static_cast<unsigned char*>(a.data) + a.size));
  CHECK_FALSE(faults(a.data));
  CHECK_FALSE(faults(static_cast<unsigned char*>(a.data) + a.size - 1));
  source.deallocate(a);
}

TEST_CASE("pages: touched pages are resident before allocate returns", "[pages]") {
  const unsigned threads = GENERATE(0u, 1u, 3u, 1000u);
  CAPTURE(threads);
  page_source source({.touch_threads = threads});
  constexpr std::size_t pages = 301;
  const std::size_t page = linux_calls::page_bytes();
  const allocation a = source.allocate(pages * page);
  REQUIRE(a);
  std::vector<unsigned char> resident(pages);
  REQUIRE(::mincore(a.data, a.size, resident.data()) == 0);
  std::size_t there = 0;
  for (const unsigned char r : resident) there += r & 1u;
  CHECK(there == (threads == 0 ? 0 : pages));
  source.deallocate(a);
}

TEST_CASE("pages: what was got instead of huge pages is reported", "[pages]") {
  staged_calls::calm();
  staged_source two_mib({.huge = huge_pages::two_mib});
  allocation a = two_mib.allocate(3 * MiB);
  REQUIRE(a);
  CHECK(a.size == 4 * MiB);
  CHECK(address_of(a.data) % (2 * MiB) == 0);
  CHECK(two_mib.pages_of(a.data) == huge_pages::two_mib);
  two_mib.deallocate({a.data, 3 * MiB});
  CHECK(staged_calls::huge_over_a_region == 1);

  // a mapping over a region that is refused takes the region away: another thread's may come into the hole
  staged_calls::huge_error = ENOMEM;
  a = two_mib.allocate(3 * MiB);
  REQUIRE(a);
  CHECK(staged_calls::huge_over_a_region == 1);
  CHECK(two_mib.pages_of(a.data) == huge_pages::transparent);
  two_mib.deallocate(a);

  staged_calls::advise_error = EINVAL;
  a = two_mib.allocate(3 * MiB);
  REQUIRE(a);
  CHECK(two_mib.pages_of(a.data) == huge_pages::none);
  two_mib.deallocate(a);

  staged_calls::advise_error = 0;
  staged_source transparent({.huge = huge_pages::transparent});
  a = transparent.allocate(5 * MiB);
  REQUIRE(a);
  CHECK(a.size == 5 * MiB);
  CHECK(address_of(a.data) % (2 * MiB) == 0);
  CHECK(transparent.pages_of(a.data) == huge_pages::transparent);
  CHECK(transparent.pages_of(&a) == huge_pages::none);
  transparent.deallocate(a);
  CHECK(staged_calls::mapped == 0);
}

TEST_CASE("pages: every refusal of the kernel has its name and leaves nothing mapped", "[pages]") {
  staged_calls::calm();
  staged_source source({.huge = huge_pages::two_mib, .node = 3, .lock = true, .guards = true, .name = "weights"});
  errc expected = errc::ok;
  std::size_t need = 2 * MiB;
  SECTION("no memory") { staged_calls::map_error = ENOMEM, expected = errc::out_of_memory; }
  SECTION("no permission") { staged_calls::map_error = EPERM, expected = errc::system_refused; }
  SECTION("too many mappings") {
    staged_calls::map_error = ENOMEM, staged_calls::count = 65529, expected = errc::limit_reached, need = 1;
  }
  SECTION("too many mappings for the fences") {
    staged_calls::close_error = ENOMEM, staged_calls::count = 65530, expected = errc::limit_reached, need = 1;
  }
  SECTION("the first cut") { staged_calls::unmap_error = ENOMEM, expected = errc::out_of_memory; }
  SECTION("the second cut") {
    staged_calls::unmap_error = ENOMEM, staged_calls::unmap_after = 1, expected = errc::out_of_memory;
  }
  SECTION("no such node") { staged_calls::bind_error = EINVAL, expected = errc::invalid_argument, need = 3; }
  SECTION("no mbind") { staged_calls::bind_error = ENOSYS, expected = errc::unsupported, need = 3; }
  SECTION("locked too much") { staged_calls::lock_error = ENOMEM, expected = errc::limit_reached; }
  SECTION("locking is forbidden") { staged_calls::lock_error = EPERM, expected = errc::limit_reached; }
  SECTION("locking is broken") { staged_calls::lock_error = EINVAL, expected = errc::system_refused; }
  // where the kernel happens to map at the right place there is nothing to cut: then the next one is tried
  std::vector<allocation> held;
  allocation refused = source.allocate(100, 1);
  for (; refused && held.size() != 1000; refused = source.allocate(100, 1)) held.push_back(refused);
  CHECK(refused == allocation{});
  for (const allocation h : held) source.deallocate(h);
  CHECK(source.last_failure().code == expected);
  CHECK(source.last_failure().need == need);
  CHECK(std::string(source.last_failure().pool) == "weights");
  CHECK(std::string(source.last_failure().fix) != "");
  CHECK(staged_calls::mapped == 0);
  CHECK(source.regions() == 0);
  staged_calls::calm();
  const allocation a = source.allocate(100, 1);
  CHECK(a);
  source.deallocate(a);
  CHECK(staged_calls::mapped == 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// the sanitizers take mlock away from the program, so there the staged kernel above is all there is
TEST_CASE("pages: the limit of locked memory, by the real kernel", "[pages]") {
  // in a child, which may lower its own limits and its privileges
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{64 * KiB, 64 * KiB};
    if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) ::_exit(77);
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(77);
    page_source source({.lock = true});
    const allocation little = source.allocate(16 * KiB);
    if (!little) ::_exit(1);
    if (source.allocate(1 * MiB)) ::_exit(2);
    const failure& f = source.last_failure();
    ::_exit(f.code == errc::limit_reached && f.need == 1 * MiB && f.limit == 64 * KiB ? 0 : 3);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    WARN("this machine does not let a process lower its own limits");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
}
#endif

TEST_CASE("pages: a node that is not there", "[pages]") {
  page_source source({.node = 1000});
  CHECK_FALSE(source.allocate(4096));
  // a container may forbid the call itself
  CHECK((source.last_failure().code == errc::invalid_argument || source.last_failure().code == errc::unsupported));
  CHECK(source.last_failure().need == 1000);
  page_source absurd({.node = 1 << 30});
  CHECK_FALSE(absurd.allocate(4096));
  CHECK(absurd.last_failure().code == errc::invalid_argument);
}

TEST_CASE("pages: requests that make no sense", "[pages]") {
  page_source source;
  for (const std::size_t bytes : {std::size_t{0}, ~std::size_t{0}, max_allocation + 1}) {
    CHECK_FALSE(source.allocate(bytes));
    CHECK(source.last_failure().code == errc::invalid_argument);
  }
  for (const std::size_t alignment : {std::size_t{0}, std::size_t{3}, 2 * GiB}) {
    CHECK_FALSE(source.allocate(1, alignment));
    CHECK(source.last_failure().code == errc::invalid_argument);
  }
  CHECK_FALSE(source.allocate(max_allocation, max_alignment));
  CHECK(source.last_failure().code == errc::out_of_memory);
  CHECK(source.last_failure().need == align_up(max_allocation, 4096));
}

TEST_CASE("pages: a misuse unmaps nothing", "[pages]") {
  const support::recorder seen;
  staged_calls::calm();
  staged_source source;
  const allocation a = source.allocate(2 * 4096);
  int foreign = 0;
  source.deallocate({&foreign, 4096});
  CHECK(seen.last().code == errc::foreign_pointer);
  source.deallocate({offset(a.data, 4096), 4096});
  CHECK(seen.last().code == errc::interior_pointer);
  source.deallocate({a.data, 4096});
  CHECK(seen.last().code == errc::wrong_size);
  CHECK(seen.count() == 3);
  CHECK(staged_calls::mapped == 8192);
  staged_calls::unmap_error = ENOMEM;
  source.deallocate(a);
  CHECK(seen.last().code == errc::system_refused);
  CHECK(source.regions() == 1);
  source.deallocate(a);
  CHECK(seen.count() == 4);
  CHECK(staged_calls::mapped == 0);
  source.deallocate(a);
  CHECK(seen.last().code == errc::foreign_pointer);
  source.deallocate({});
  CHECK(seen.count() == 5);
}

TEST_CASE("pages: what is still out is unmapped at the end", "[pages]") {
  staged_calls::calm();
  {
    staged_source source({.guards = true});
    CHECK(source.allocate(4096));
    CHECK(source.allocate(1 * MiB, 1 * MiB));
    CHECK(staged_calls::mapped == 4096 + 1 * MiB + 4 * 4096);
  }
  CHECK(staged_calls::mapped == 0);
}
