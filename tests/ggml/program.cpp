// A program that knows nothing of tokenheap: takes weights, a cache and scratch from ggml, and forgets a piece.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

extern "C" {
void* stand_in_take(std::size_t size);
void stand_in_give(void* p, std::size_t size);
// not linked everywhere
[[gnu::weak]] void* stand_in_amx_take(std::size_t size);
[[gnu::weak]] void stand_in_amx_give(void* p);
}

namespace engine {

struct piece {
  unsigned char* at;
  std::size_t size;
};

// part of its caller: the owner is the innermost function outside of ggml
[[gnu::always_inline]] inline piece take(std::size_t size) {
  auto* const at = static_cast<unsigned char*>(stand_in_take(size));
  if (at == nullptr || reinterpret_cast<std::uintptr_t>(at) % 64 != 0) std::abort();
  std::memset(at, static_cast<int>(size % 251), size);
  return {at, size};
}

[[gnu::noinline]] void load_weights(std::vector<piece>& all) {
  for (std::size_t k = 1; k != 5; ++k) all.push_back(take(300'000 * k));
}
[[gnu::noinline]] void open_cache(std::vector<piece>& all) { all.push_back(take(1 << 20)); }
[[gnu::noinline]] void compute(int steps) {
  for (int k = 0; k != steps; ++k) {
    const piece scratch = take(500 + 64 * static_cast<std::size_t>(k % 7));
    stand_in_give(scratch.at, scratch.size);
  }
}
[[gnu::noinline]] void forget() { static_cast<void>(take(4'096)); }

[[gnu::noinline]] void use_amx() {
  if (stand_in_amx_take == nullptr) return;
  void* const tiles = stand_in_amx_take(700'000);
  std::memset(tiles, 1, 700'000);
  stand_in_amx_give(tiles);
}

}  // namespace engine

int main() {
  if (stand_in_take(0) != nullptr) return 1;
  stand_in_give(nullptr, 0);
  std::vector<engine::piece> all;
  engine::load_weights(all);
  engine::open_cache(all);
  engine::forget();
  engine::use_amx();
  const volatile int steps = 100;  // a copy of the function for a known number would have no name
  std::thread other([&] { engine::compute(steps); });
  engine::compute(steps);
  other.join();
  std::uint64_t sum = 0;
  for (const engine::piece& p : all) {
    for (std::size_t k = 0; k != p.size; ++k) sum = sum * 31 + p.at[k];
    stand_in_give(p.at, p.size);
  }
  std::printf("sum %llu\n", static_cast<unsigned long long>(sum));
  return 0;
}
