#include <tokenheap/adapt/torch_symbols.hpp>

#include <support/catch.hpp>

#include <string>

// the door of the process outlives every made-up runtime, so it is asked without one here; tests/torch/door.py has the rest
TEST_CASE("the symbols lead to the one door of the process, which says that there is no device") {
  tokenheap_torch_init(1);
  CHECK(tokenheap_torch_malloc(512, 0, nullptr) == nullptr);
  CHECK(std::string(tokenheap_torch_last_error()).find("the device said: no device (35)") != std::string::npos);
  int nothing = 0;
  tokenheap_torch_free(&nothing, 4, 0, nullptr);
  tokenheap_torch_free(nullptr, 0, 0, nullptr);
  tokenheap_torch_record_stream(&nothing, nullptr);
  tokenheap_torch_memory_fraction(0.5, 0);
  tokenheap_torch_begin_pool(0, {0, 1}, {});
  tokenheap_torch_end_pool(0, {0, 1});
  tokenheap_torch_release_pool(0, {0, 1});
  tokenheap_torch_reset();
  std::size_t bytes = 0;
  CHECK(tokenheap_torch_base(&nothing, &bytes) == &nothing);
  CHECK(tokenheap_torch_stat(0, 0) == 0);
  CHECK(tokenheap_torch_stat(0, 99) == ~std::size_t{0});
  char numbers[8] = "xxxxxxx";
  CHECK(tokenheap_torch_memory_stats(0, numbers, sizeof numbers) > 3000);
  CHECK(std::string(numbers) == "{\"alloc");
  tokenheap_torch_reset_peak_stats(0);
  tokenheap_torch_reset_peak_stats(-1);
  tokenheap_torch_reset_accumulated_stats(70);
  CHECK(std::string(tokenheap_torch_error_text(tokenheap_torch_snapshot(nullptr))) == "refused by the system");
  char line[64] = "x";
  CHECK(tokenheap_torch_describe(5, line, sizeof line) == 0);
  CHECK(line[0] == '\0');
}
