#include <tokenheap/observe/process_registry.hpp>

#include <support/catch.hpp>

#include <type_traits>

using namespace tokenheap;

// what starts as zeros and never ends can be read by whatever runs before main and after it
static_assert(std::is_trivially_destructible_v<registry_head>);
static_assert(alignof(registry_head) <= 64);

TEST_CASE("the list of the process is one, and aligned", "[process_registry]") {
  CHECK(&process_registry() == &process_registry());
  CHECK(&process_registry() == &tokenheap_registry_v0);
  CHECK(reinterpret_cast<std::uintptr_t>(&process_registry()) % 64 == 0);
  const locked hold(process_registry().lock);
  CHECK((process_registry().first == nullptr) == (process_registry().size == 0));
}
