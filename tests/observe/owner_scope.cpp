#include <tokenheap/observe/owner_scope.hpp>

#include <support/catch.hpp>

#include <string>
#include <thread>

using namespace tokenheap;

TEST_CASE("scopes nest, and end where they began", "[observe]") {
  CHECK(owner_scope::current() == nullptr);
  {
    const owner_scope outer("model");
    CHECK(std::string(owner_scope::current()) == "model");
    {
      const owner_scope inner("tokenizer");
      CHECK(std::string(owner_scope::current()) == "tokenizer");
    }
    CHECK(std::string(owner_scope::current()) == "model");
  }
  CHECK(owner_scope::current() == nullptr);
}

TEST_CASE("a scope is its thread's alone", "[observe][threads]") {
  const owner_scope mine("mine");
  bool other_has_none = false;
  std::thread([&] { other_has_none = owner_scope::current() == nullptr; }).join();
  CHECK(other_has_none);
}
