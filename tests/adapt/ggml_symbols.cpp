#include <tokenheap/adapt/ggml_symbols.hpp>

#include <support/catch.hpp>

#include <cstdlib>
#include <string>

namespace {

std::string text_of(const std::string& path) {
  std::FILE* const f = std::fopen(path.c_str(), "r");
  if (f == nullptr) return "no file";
  std::string all(4096, '\0');
  all.resize(std::fread(all.data(), 1, all.size(), f));
  std::fclose(f);
  std::remove(path.c_str());
  return all;
}

}  // namespace

TEST_CASE("the symbols lead to the one door of the process, which writes what is out at the end") {
  const std::string path = "ggml_symbols." + std::to_string(::getpid());
  ::setenv("TOKENHEAP_GGML_REPORT", path.c_str(), 1);
  using tokenheap::adapt::detail::end_of_ggml;
  // a program that asked for nothing and never loaded ggml is left in peace
  end_of_ggml();
  CHECK(text_of(path) == "no file");
  CHECK(tokenheap_ggml_stat(6) == 0);

  void* const p = ggml_aligned_malloc(100);
  void* const q = ggml_aligned_malloc(200'000);
  REQUIRE(p != nullptr);
  REQUIRE(q != nullptr);
  ggml_aligned_free(q, 200'000);
  ggml_aligned_free(nullptr, 0);
  CHECK(tokenheap_ggml_stat(0) == 100);
  CHECK(tokenheap_ggml_stat(1) == 200'100);
  CHECK(tokenheap_ggml_stat(2) == 100);  // this program is no library of ggml: memory of the heap
  CHECK(tokenheap_ggml_stat(3) == 200'100);
  CHECK(tokenheap_ggml_stat(4) == 1);
  CHECK(tokenheap_ggml_stat(5) == 2);
  CHECK(tokenheap_ggml_stat(6) == 2);
  CHECK(tokenheap_ggml_stat(7) + tokenheap_ggml_stat(8) == 0);
  CHECK(tokenheap_ggml_stat(9) == ~std::size_t{0});
  CHECK(tokenheap_ggml_stat(-1) == ~std::size_t{0});

  CHECK(tokenheap_ggml_report(path.c_str()));
  const std::string now = text_of(path);
  CHECK(now.find(": 2 pieces, 0 refused; at the peak 200100 bytes asked, 200100 held\n") != std::string::npos);
  CHECK(now.find("still out: 100 bytes in 1 pieces: ") != std::string::npos);
  CHECK(now.find("  1 of these may have ended by free()") != std::string::npos);
  CHECK(!tokenheap_ggml_report("/no/such/place"));

  ::setenv("TOKENHEAP_GGML_STACKS", (path + ".folded").c_str(), 1);
  end_of_ggml();
  CHECK(text_of(path) == now);
  const std::string folded = text_of(path + ".folded");
  CHECK(folded.find(" 200000\n") != std::string::npos);
  CHECK(folded.find(" 100\n") != std::string::npos);

  ggml_aligned_free(p, 100);
  CHECK(tokenheap_ggml_stat(4) == 0);
  ::setenv("TOKENHEAP_GGML_REPORT", "off", 1);
  end_of_ggml();
  CHECK(text_of("off") == "no file");
  CHECK(!tokenheap::adapt::is_ggml_loaded());
}
