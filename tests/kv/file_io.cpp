#include <tokenheap/kv/file_io.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

using namespace tokenheap::kv;

namespace {

// bytes in memory behind calls that move at most `at_once`, after `interrupt` calls that are interrupted
struct scripted {
  std::vector<unsigned char> bytes = {};
  std::size_t at_once = ~std::size_t{0};
  int interrupt = 0;
  int error = 0;
  std::size_t lies = 0;  // more than was moved
  int calls = 0;

  int open(const char*, int& e) noexcept { return e = 0, 3; }
  void close(int) noexcept {}
  bool lock(int) noexcept { return true; }
  bool size(int, std::uint64_t& out) noexcept { return out = bytes.size(), true; }
  bool truncate(int, std::uint64_t n) noexcept { return bytes.resize(n), true; }
  bool sync(int) noexcept { return true; }
  io_moved read(int, const iovec* parts, int n, std::uint64_t at) noexcept { return move(parts, n, at, false); }
  io_moved write(int, const iovec* parts, int n, std::uint64_t at) noexcept { return move(parts, n, at, true); }

 private:
  io_moved move(const iovec* parts, int n, std::uint64_t at, bool writes) noexcept {
    ++calls;
    if (interrupt > 0) return --interrupt, io_moved{0, EINTR};
    if (error != 0) return {0, error};
    std::size_t all = 0;
    for (int k = 0; k != n && at + all < bytes.size(); ++k) {
      const std::size_t m = std::min({parts[k].iov_len, at_once - all, bytes.size() - at - all});
      unsigned char* const here = bytes.data() + at + all;
      if (m != 0) writes ? std::memcpy(here, parts[k].iov_base, m) : std::memcpy(parts[k].iov_base, here, m);
      all += m;
      if (m != parts[k].iov_len) break;
    }
    return {all + lies, 0};
  }
};

struct no_sync : scripted {
  void sync(int) noexcept {}
};
struct throwing_read : scripted {
  io_moved read(int, const iovec*, int, std::uint64_t) { return {}; }
};
struct no_lock : file_calls {
  bool lock(int) = delete;
};
static_assert(file_io<scripted> && !file_io<no_sync> && !file_io<throwing_read> && !file_io<no_lock> && !file_io<int>);

struct real_file {
  std::string path = "file_io_test." + std::to_string(::getpid());
  ~real_file() { std::remove(path.c_str()); }
};

std::string text_of(scripted& on, std::size_t first, std::size_t second, std::uint64_t at, bool& good) {
  std::string a(first, '-'), b(second, '-');
  good = move_all<false>(on, 3, {a.data(), a.size()}, {b.data(), b.size()}, at);
  return a + "|" + b;
}

}  // namespace

TEST_CASE("two pieces are moved whole, wherever the kernel stops in between, and nothing beside them") {
  const std::string first = "header", second = "the payload";
  for (std::size_t at_once = 1; at_once != 20; ++at_once) {
    CAPTURE(at_once);
    scripted on{.bytes = std::vector<unsigned char>(40, '.'), .at_once = at_once, .interrupt = 3};
    CHECK(move_all<true>(on, 3, {const_cast<char*>(first.data()), 6}, {const_cast<char*>(second.data()), 11}, 5));
    CHECK(std::string(on.bytes.begin(), on.bytes.end()) == ".....headerthe payload" + std::string(18, '.'));
    CHECK(on.calls == 3 + static_cast<int>((17 + at_once - 1) / at_once));
    bool good = false;
    CHECK(text_of(on, 6, 11, 5, good) == "header|the payload");
    CHECK(good);
    CHECK(text_of(on, 0, 6, 5, good) == "|header");
    CHECK(text_of(on, 6, 0, 5, good) == "header|");
    CHECK(good);
  }
  scripted untouched{.error = EIO};
  CHECK(move_all<true>(untouched, 3, {}, {}, 0));
  CHECK(untouched.calls == 0);
}

TEST_CASE("the end of the file, an error, a call that claims too much and endless interruptions are all a no") {
  scripted on{.bytes = std::vector<unsigned char>(10, 'x')};
  bool good = true;
  CHECK(text_of(on, 4, 7, 0, good) == "xxxx|xxxxxx-");
  CHECK(!good);
  CHECK(on.calls == 2);
  (void)text_of(on, 4, 6, 0, good);
  CHECK(good);
  on.lies = 1;
  (void)text_of(on, 4, 6, 0, good);
  CHECK(!good);
  on = {.bytes = on.bytes, .error = EIO};
  (void)text_of(on, 4, 6, 0, good);
  CHECK(!good);
  CHECK(on.calls == 1);
  on = {.bytes = on.bytes, .interrupt = 1000};
  (void)text_of(on, 4, 6, 0, good);
  CHECK(!good);
  CHECK(on.calls == 100);
}

TEST_CASE("the kernel's calls open, lock, measure, cut and fail as they say") {
  const real_file at;
  file_calls calls;
  int error = 7;
  const int fd = calls.open(at.path.c_str(), error);
  REQUIRE(fd >= 0);
  CHECK(error == 0);
  CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  struct stat seen {};
  REQUIRE(::fstat(fd, &seen) == 0);
  CHECK((seen.st_mode & 0777 & ~0600u) == 0);  // nobody else reads it
  CHECK(calls.lock(fd));
  const int again = calls.open(at.path.c_str(), error);
  REQUIRE(again >= 0);
  CHECK(!calls.lock(again));

  std::string a = "abc", b = "defgh";
  CHECK(move_all<true>(calls, fd, {a.data(), 3}, {b.data(), 5}, 2));
  std::uint64_t bytes = 0;
  CHECK(calls.size(fd, bytes));
  CHECK(bytes == 10);
  CHECK(calls.sync(fd));
  CHECK(calls.truncate(fd, 6));
  std::string back(8, '-');
  CHECK(!move_all<false>(calls, again, {back.data(), 8}, {}, 2));
  CHECK(back == "abcd----");
  calls.close(fd);
  CHECK(calls.lock(again));
  calls.close(again);

  CHECK(calls.open("/nowhere/at/all", error) < 0);
  CHECK(error == ENOENT);
  const iovec part{back.data(), 8};
  CHECK(calls.read(-1, &part, 1, 0).error == EBADF);
  CHECK(calls.write(-1, &part, 1, 0).error == EBADF);
  CHECK(!calls.sync(-1));
  CHECK(!calls.truncate(-1, 0));
  CHECK(!calls.size(-1, bytes));
  const int device = calls.open("/dev/null", error);
  REQUIRE(device >= 0);
  CHECK(!calls.size(device, bytes));
  calls.close(device);
}
