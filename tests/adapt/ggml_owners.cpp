#include <tokenheap/adapt/ggml_owners.hpp>

#include <support/catch.hpp>

#include <string>

#include <tokenheap/observe/stack_table.hpp>

using namespace tokenheap;
using adapt::ggml_owner;
using adapt::ggml_owner_table;

namespace {

/// An address inside a function of another library, as a stack would have it.
void* inside(const char* symbol) {
  void* const at = ::dlsym(RTLD_DEFAULT, symbol);
  REQUIRE(at != nullptr);
  return static_cast<unsigned char*>(at) + 2;
}

std::string name_of(std::initializer_list<void*> frames) {
  char name[160];
  text_buffer text(name, sizeof name);
  adapt::name_ggml_owner(frames.begin(), frames.size(), text);
  return name;
}

}  // namespace

TEST_CASE("the libraries of ggml are told by their name") {
  CHECK(adapt::is_ggml_module("/usr/lib/libggml-base.so.0"));
  CHECK(adapt::is_ggml_module("libggml.so"));
  CHECK(!adapt::is_ggml_module("/opt/libggml/libllama.so"));
  CHECK(!adapt::is_ggml_module("/opt/ggml/llama-cli"));
  CHECK(!adapt::is_ggml_module(""));
  CHECK(!adapt::is_ggml_module(nullptr));
}

TEST_CASE("parameters are dropped, and nothing else that stands in parentheses") {
  const auto dropped = [](std::string name) {
    adapt::drop_parameters(name.data());
    return std::string(name.c_str());
  };
  CHECK(dropped("main") == "main");
  CHECK(dropped("a::b(int (*)(char))") == "a::b");
  CHECK(dropped("(anonymous namespace)::f(int)") == "(anonymous namespace)::f");
  CHECK(dropped("a::(anonymous namespace)::f()::{lambda()#1}::operator()() const") == "a::(anonymous namespace)::f");
  CHECK(dropped("a::operator()(int) const") == "a::operator()");
  CHECK(dropped("") == "");
}

TEST_CASE("an owner is the innermost function, demangled and without its parameters") {
  CHECK(name_of({}) == "(unknown)");
  CHECK(name_of({inside("lsearch"), inside("bsearch")}) == "lsearch");
  CHECK(name_of({inside("_ZNSt12bad_weak_ptrD1Ev")}) == "std::bad_weak_ptr::~bad_weak_ptr");
  // a function of this program, which is not linked with -rdynamic: the caller helps
  const auto local = reinterpret_cast<unsigned char*>(reinterpret_cast<std::uintptr_t>(&name_of)) + 2;
  const std::string unnamed = name_of({local, inside("bsearch"), inside("div")});
  CHECK(unnamed.find("+0x") != std::string::npos);
  CHECK(unnamed.substr(unnamed.rfind(',')) == ", called by bsearch");
  CHECK(name_of({local}).find(',') == std::string::npos);
  // nobody knows this place: its address is the name
  CHECK(name_of({reinterpret_cast<void*>(0x11)}) == "0x10");
}

TEST_CASE("stacks of one owner are summed up, and the largest comes first") {
  void* const first[] = {inside("lsearch"), inside("bsearch")};
  void* const second[] = {inside("lsearch")};
  void* const third[] = {inside("div")};
  ggml_owner_table all;
  all.of({.frames = second, .depth = 1}).peak_bytes += 10;
  all.of({.frames = third, .depth = 1}).peak_bytes += 15;
  all.of({.frames = first, .depth = 2}).peak_bytes += 7;
  all.of({.frames = nullptr, .depth = 0}).now_bytes += 1;
  all.sort();
  REQUIRE(all.size() == 3);
  CHECK(std::string(all[0].name) == "lsearch");
  CHECK(all[0].peak_bytes == 17);
  CHECK(all[1].peak_bytes == 15);
  CHECK(std::string(all[2].name) == "(unknown)");
}

TEST_CASE("owners beyond the room of the table are counted together") {
  ggml_owner_table all;
  for (std::size_t k = 0; k != ggml_owner_table::most + 5; ++k) {
    void* const frame[] = {reinterpret_cast<void*>(16 * (k + 1))};
    all.of({.frames = frame, .depth = 1}).ever_pieces += 1;
  }
  REQUIRE(all.size() == ggml_owner_table::most);
  CHECK(std::string(all[ggml_owner_table::most - 1].name) == "(others)");
  CHECK(all[ggml_owner_table::most - 1].ever_pieces == 6);
}
