#include <tokenheap/concepts/source.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

// near-misses: each type has one defect, and the concept must see it
namespace {

struct good {
  using space = host_space;
  using stream = int;
  allocation allocate(std::size_t, std::size_t) noexcept { return {}; }
  void deallocate(allocation) noexcept {}
  allocation allocate(int, std::size_t, std::size_t) noexcept { return {}; }
  void deallocate(int, allocation) noexcept {}
  bool owns(const void*) const noexcept { return false; }
  void reset() noexcept {}
  std::size_t trim(std::size_t) noexcept { return 0; }
  bool try_grow(allocation&, std::size_t) noexcept { return false; }
  bool is_valid() const noexcept { return true; }
  const char* name() const noexcept { return "good"; }
};
static_assert(source<good> && stream_source<good> && owner<good> && resettable<good> && trimmable<good>);
static_assert(growable<good> && self_checking<good> && named<good> && cpu_accessible<good> && !device_accessible<good>);
static_assert(!source<int> && !owner<int> && !named<void*> && !source<void>);

struct half_a_space {
  static constexpr bool cpu_accessible = true;
};
struct space_of_texts {
  static constexpr const char* cpu_accessible = "no";
  [[maybe_unused]] static constexpr bool device_accessible = true;
};
struct space_of_functions {
  static constexpr bool cpu_accessible() { return false; }
  static constexpr bool device_accessible() { return true; }
};
struct space_that_changes {
  [[maybe_unused]] inline static bool cpu_accessible = true;
  [[maybe_unused]] inline static bool device_accessible = true;
};
struct space_of_pairs {
  struct pair {};
  static constexpr pair cpu_accessible{};
  [[maybe_unused]] static constexpr bool device_accessible = true;
};
static_assert(space<host_space> && space<pinned_space> && space<device_space> && space<offset_space>);
static_assert(!space<half_a_space> && !space<space_of_texts> && !space<space_of_pairs> && !space<int>);
static_assert(!space<space_of_functions> && !space<space_that_changes>);

// source
struct no_space {
  allocation allocate(std::size_t, std::size_t) noexcept;
  void deallocate(allocation) noexcept;
};
struct space_is_no_space : no_space {
  using space = int;
};
struct space_is_a_value : no_space {
  [[maybe_unused]] static constexpr int space = 1;
};
struct allocate_throws {
  using space = host_space;
  allocation allocate(std::size_t, std::size_t);
  void deallocate(allocation) noexcept;
};
struct allocate_gives_a_pointer {
  using space = host_space;
  void* allocate(std::size_t, std::size_t) noexcept;
  void deallocate(allocation) noexcept;
};
struct allocate_without_alignment {
  using space = host_space;
  allocation allocate(std::size_t) noexcept;
  void deallocate(allocation) noexcept;
};
struct allocate_is_private {
  using space = host_space;
  void deallocate(allocation) noexcept;

 private:
  [[maybe_unused]] allocation allocate(std::size_t, std::size_t) noexcept { return {}; }
};
struct deallocate_throws {
  using space = host_space;
  allocation allocate(std::size_t, std::size_t) noexcept;
  void deallocate(allocation);
};
struct deallocate_answers {
  using space = host_space;
  allocation allocate(std::size_t, std::size_t) noexcept;
  bool deallocate(allocation) noexcept;
};
struct deallocate_takes_a_pointer {
  using space = host_space;
  allocation allocate(std::size_t, std::size_t) noexcept;
  void deallocate(void*) noexcept;
};
struct deallocate_is_missing {
  using space = host_space;
  allocation allocate(std::size_t, std::size_t) noexcept;
};
static_assert(!source<no_space> && !source<space_is_no_space> && !source<space_is_a_value>);
static_assert(!source<allocate_throws> && !source<allocate_gives_a_pointer> && !source<allocate_without_alignment>);
static_assert(!source<allocate_is_private> && !source<deallocate_throws> && !source<deallocate_answers>);
static_assert(!source<deallocate_takes_a_pointer> && !source<deallocate_is_missing> && !source<const good>);

// stream_source
struct stream_comes_last {
  using space = host_space;
  using stream = void*;
  allocation allocate(std::size_t, std::size_t, void*) noexcept;
  void deallocate(void*, allocation) noexcept;
};
struct no_stream_named {
  using space = host_space;
  allocation allocate(int, std::size_t, std::size_t) noexcept;
  void deallocate(int, allocation) noexcept;
};
struct stream_deallocate_throws {
  using space = host_space;
  using stream = int;
  allocation allocate(int, std::size_t, std::size_t) noexcept;
  void deallocate(int, allocation);
};
struct stream_without_space {
  using stream = int;
  allocation allocate(int, std::size_t, std::size_t) noexcept;
  void deallocate(int, allocation) noexcept;
};
static_assert(!stream_source<stream_comes_last> && !stream_source<no_stream_named>);
static_assert(!stream_source<stream_deallocate_throws> && !stream_source<stream_without_space>);

// owner
struct owns_is_not_const {
  bool owns(const void*) noexcept;
};
struct owns_throws {
  bool owns(const void*) const;
};
struct owns_counts {
  int owns(const void*) const noexcept;
};
struct owns_allocations {
  bool owns(allocation) const noexcept;
};
static_assert(!owner<owns_is_not_const> && !owner<owns_throws> && !owner<owns_counts> && !owner<owns_allocations>);

// resettable
struct reset_throws {
  void reset();
};
struct reset_answers {
  bool reset() noexcept;
};
struct reset_wants_a_size {
  void reset(std::size_t) noexcept;
};
static_assert(!resettable<reset_throws> && !resettable<reset_answers> && !resettable<reset_wants_a_size>);

// trimmable
struct trim_is_silent {
  void trim(std::size_t) noexcept;
};
struct trim_throws {
  std::size_t trim(std::size_t);
};
struct trim_keeps_nothing {
  std::size_t trim() noexcept;
};
struct trim_says_yes {
  bool trim(std::size_t) noexcept;
};
static_assert(!trimmable<trim_is_silent> && !trimmable<trim_throws> && !trimmable<trim_keeps_nothing>);
static_assert(!trimmable<trim_says_yes>);

// growable
struct grows_rvalues {
  bool try_grow(allocation&&, std::size_t) noexcept;
};
struct grow_throws {
  bool try_grow(allocation&, std::size_t);
};
struct grow_gives_a_new_one {
  allocation try_grow(allocation&, std::size_t) noexcept;
};
static_assert(!growable<grows_rvalues> && !growable<grow_throws> && !growable<grow_gives_a_new_one>);

// self_checking
struct valid_is_not_const {
  bool is_valid() noexcept;
};
struct valid_throws {
  bool is_valid() const;
};
struct valid_is_a_number {
  int is_valid() const noexcept;
};
static_assert(!self_checking<valid_is_not_const> && !self_checking<valid_throws> && !self_checking<valid_is_a_number>);

// named
struct name_is_a_number {
  int name() const noexcept;
};
struct name_throws {
  const char* name() const;
};
struct name_is_a_member {
  const char* name;
};
static_assert(!named<name_is_a_number> && !named<name_throws> && !named<name_is_a_member>);

// where bytes live
struct on_a_device : good {
  using space = device_space;
};
struct pinned_memory : good {
  using space = pinned_space;
};
static_assert(!cpu_accessible<on_a_device> && device_accessible<on_a_device>);
static_assert(cpu_accessible<pinned_memory> && device_accessible<pinned_memory>);
static_assert(!cpu_accessible<no_space> && !cpu_accessible<space_is_no_space> && !device_accessible<int>);

}  // namespace

TEST_CASE("every question about a source is asked of a model and of its near-misses", "[concepts]") {
  // the questions are answered while compiling; that a model behaves is for the contract suites
  good g;
  REQUIRE_FALSE(g.allocate(1, 1));
  REQUIRE(g.is_valid());
}
