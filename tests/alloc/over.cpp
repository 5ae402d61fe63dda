#include <tokenheap/alloc/over.hpp>

#include <support/catch.hpp>
#include <support/sources.hpp>

#include <string_view>

#include <tokenheap/alloc/layered.hpp>

using namespace tokenheap;
using support::counting_source;
using support::failing_options;
using support::failing_source;

namespace {

/// A layer of a user's own: gives twice what is asked, and takes an option.
struct doubling_options {
  std::size_t factor = 2;
};
struct doubling {
  template <source Below>
  class on : public over<Below> {
   public:
    using layer = doubling;
    using own_options = doubling_options;

    template <class... Options>
    explicit on(const Options&... given) : over<Below>(given...), factor_(pick_option<doubling_options>(given...).factor) {}

    [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
      return this->below_.allocate(bytes * factor_, alignment);
    }
    void deallocate(allocation a) noexcept { this->below_.deallocate(a); }

   private:
    std::size_t factor_;
  };
};

using doubled = doubling::on<failing_source>;
static_assert(takes_option<doubled, doubling_options>() && takes_option<doubled, failing_options>());
static_assert(!takes_option<doubled, int>() && !takes_option<counting_source, failing_options>());
static_assert(takes_option<doubling::on<doubled>, failing_options>());

}  // namespace

TEST_CASE("options are picked by type; the first one counts, a missing one is the default", "[alloc]") {
  REQUIRE(pick_option<int>() == 0);
  REQUIRE(pick_option<int>(1.5, 7, 'c', 8) == 7);
  REQUIRE(pick_option<doubling_options>(1, 2).factor == 2);
  REQUIRE(pick_option<doubling_options>(1, doubling_options{.factor = 5}).factor == 5);
}

TEST_CASE("a layer of a user's own stands in a column like any other", "[alloc]") {
  layered<failing_source, doubling> mem(failing_options{.after = 1}, doubling_options{.factor = 3});
  const allocation a = mem.allocate(100);
  REQUIRE(a.size == 300);
  REQUIRE_FALSE(mem.allocate(100));
  REQUIRE(mem.floor<failing_source>().after == 0);
  REQUIRE(&mem.floor<doubling::on<failing_source>::below_type>() == &mem.floor<failing_source>());
  mem.deallocate(a);
}

TEST_CASE("a layer passes on what its floor can answer, and no more", "[alloc]") {
  STATIC_REQUIRE_FALSE(owner<doubled>);
  STATIC_REQUIRE_FALSE(trimmable<doubled>);
  STATIC_REQUIRE_FALSE(self_checking<doubled>);
  doubling::on<counting_source> counted;
  REQUIRE(std::string_view(counted.name()) == "counting");
  doubled nameless;
  REQUIRE(std::string_view(nameless.name()) == "unnamed");
  REQUIRE_FALSE(nameless.relieve(1, true));
}
