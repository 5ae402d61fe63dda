// A shared object with a pool of its own. PART_NAME is what its exported functions begin with.

#include "part.hpp"

#include <optional>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/observe/reading_of.hpp>
#include <tokenheap/source/host.hpp>

#define PART_TEXT_(name) #name
#define PART_TEXT(name) PART_TEXT_(name)

using namespace tokenheap;

DECLARE_PART(PART_NAME);

namespace {

struct memory : layered<host_source, arena<>, slab<>, with<counters>, with<spin_lock>> {};

memory& mine() {
  static memory one;
  return one;
}
std::optional<registration>& seen() {
  static std::optional<registration> one;
  return one;
}

}  // namespace

void PART_JOIN(PART_NAME, _register)() { seen().emplace(mine(), registration_options{.pool = PART_TEXT(PART_NAME)}); }
void PART_JOIN(PART_NAME, _leave)() { seen().reset(); }
std::size_t PART_JOIN(PART_NAME, _sees)() { return registry().snapshot().size(); }
const void* PART_JOIN(PART_NAME, _address)() { return &process_registry(); }
