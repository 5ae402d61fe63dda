#include <tokenheap/alloc/shortage.hpp>

#include <string>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("shortage: one line says need, limit, what is left, who has it and what to do", "[alloc]") {
  shortage s{};
  CHECK_FALSE(s);
  s.code = errc::out_of_memory;
  s.device = {device_error::out_of_memory, 2};
  s.pool = "kv";
  s.ordinal = 3;
  s.need = 4096;
  s.limit = 10000;
  s.device_free = 512;
  s.largest_free = 1024;
  s.reserved = 9488;
  s.cached = 2048;
  s.pending = 77;
  s.top[0] = {.name = "weights", .current = 7000, .peak = 7000, .pieces = 5};
  s.fix = "lower the batch";
  CHECK(s);
  char line[512];
  const std::size_t length = describe(s, line, sizeof line);
  const std::string text(line);
  CHECK(text.size() == length);
  for (const char* part : {"pool 'kv'", "device 3", "need 4096", "limit 10000", "reserved 9488", "cached 2048",
                           "largest piece 1024", "pending 77",
                           "free on the device 512", "weights holds 7000 in 5", "fix: lower the batch"}) {
    INFO(part << " in " << text);
    CHECK(text.find(part) != std::string::npos);
  }
  CHECK(text.find("the device said") == std::string::npos);
  s.device = {device_error::failed, 719};
  describe(s, line, sizeof line);
  CHECK(std::string(line).find("the device said: failed (719)") != std::string::npos);
  char tiny[16];
  describe(s, tiny, sizeof tiny);
  CHECK(std::string(tiny).size() < sizeof tiny);
}
