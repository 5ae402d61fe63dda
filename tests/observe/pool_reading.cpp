#include <tokenheap/observe/pool_reading.hpp>

#include <support/catch.hpp>

#include <string>

using namespace tokenheap;

TEST_CASE("the capacity is the sum of the states that do not overlap", "[pool_reading]") {
  state_amounts of;
  CHECK(of.capacity() == not_counted);
  of.evictable = 7;
  CHECK(of.capacity() == not_counted);
  of.live = 3;
  CHECK(of.capacity() == 3);
  of.pending = 10, of.cached = 100, of.free = 1000, of.reserved = 5, of.pinned = 5;
  CHECK(of.capacity() == 1113);
}

TEST_CASE("rows of one label add up, and there is an end to labels", "[pool_reading]") {
  labelled_counts list;
  CHECK(list.of("a") == not_counted);
  list.add("a", 1);
  list.add("ab", 2);
  const std::string same = "a";  // another address
  list.add(same.c_str(), 4);
  CHECK(list.size() == 2);
  CHECK(list.of("a") == 5);
  CHECK(list.of("ab") == 2);
  CHECK(list.of("") == not_counted);
  const char letters[] = "bcdefghijklmnopqrstuvwxyzABC";
  for (std::size_t k = 0; k != 26; ++k) list.add(letters + k, k);
  CHECK(list.size() == labelled_counts::most);
  CHECK(list.of("ab") == 2);
}

TEST_CASE("fragmentation is what the largest piece cannot serve", "[pool_reading]") {
  pool_reading r;
  CHECK(r.fragmentation() < 0);
  r.largest_free = 0;
  CHECK(r.fragmentation() == 0);
  r.bytes.cached = 300, r.bytes.free = 100, r.largest_free = 100;
  CHECK(r.fragmentation() == 0.75);
  r.largest_free = 500;  // of another moment
  CHECK(r.fragmentation() == 0);
}
