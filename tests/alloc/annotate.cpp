#include <tokenheap/alloc/annotate.hpp>

#include <support/catch.hpp>

#ifdef TOKENHEAP_HAS_ASAN
extern "C" void* __asan_region_is_poisoned(void* from, std::size_t size);
#endif

TEST_CASE("forbidden bytes are an error for whoever watches, and allowed ones are memory again", "[alloc]") {
  alignas(16) unsigned char bytes[64] = {};
  tokenheap::annotate::forbid(bytes + 16, 32);
#ifdef TOKENHEAP_HAS_ASAN
  REQUIRE(__asan_region_is_poisoned(bytes, 16) == nullptr);
  REQUIRE(__asan_region_is_poisoned(bytes, 64) == bytes + 16);
#endif
  tokenheap::annotate::allow(bytes + 16, 32);
#ifdef TOKENHEAP_HAS_ASAN
  REQUIRE(__asan_region_is_poisoned(bytes, 64) == nullptr);
#endif
  bytes[20] = 7;
  REQUIRE(bytes[20] == 7);
}
