#include <tokenheap/concepts/device.hpp>

#include <support/catch.hpp>

#include <set>
#include <string>

using namespace tokenheap;

// near-misses: each type has one defect, and the concept must see it
namespace {

struct model {
  using stream = device_stream<void*>;
  using event = int;
  using pages = int;
  using status = device_status;
  status allocate(std::size_t, void*&) noexcept { return {}; }
  status deallocate(void*) noexcept { return {}; }
  status memory(device_memory&) noexcept { return {}; }
  status allocate_pinned(std::size_t, void*&) noexcept { return {}; }
  status deallocate_pinned(void*) noexcept { return {}; }
  status register_host(void*, std::size_t) noexcept { return {}; }
  status unregister_host(void*) noexcept { return {}; }
  status create_stream(stream&) noexcept { return {}; }
  status destroy_stream(stream) noexcept { return {}; }
  status identify(void*, stream&) noexcept { return {}; }
  status wait(stream, event) noexcept { return {}; }
  status synchronize(stream) noexcept { return {}; }
  status query(stream) noexcept { return {}; }
  status is_capturing(stream, bool&) noexcept { return {}; }
  status create_event(event&) noexcept { return {}; }
  status destroy_event(event) noexcept { return {}; }
  status record(event, stream) noexcept { return {}; }
  status query_event(event) noexcept { return {}; }
  status synchronize_event(event) noexcept { return {}; }
  status copy(void*, const void*, std::size_t, stream) noexcept { return {}; }
  status fill(void*, unsigned char, std::size_t, stream) noexcept { return {}; }
  int ordinal() noexcept { return 0; }
  status current(int&) noexcept { return {}; }
  status synchronize() noexcept { return {}; }
  std::size_t alignment() noexcept { return 256; }
  const char* to_text(status) noexcept { return ""; }
  std::size_t page_bytes() noexcept { return 0; }
  status reserve(std::size_t, std::size_t, void*&) noexcept { return {}; }
  status unreserve(void*, std::size_t) noexcept { return {}; }
  status create_pages(std::size_t, pages&) noexcept { return {}; }
  status release_pages(pages) noexcept { return {}; }
  status map(void*, std::size_t, pages) noexcept { return {}; }
  status set_access(void*, std::size_t) noexcept { return {}; }
  status unmap(void*, std::size_t) noexcept { return {}; }
};
static_assert(device<model> && virtual_device<model>);
static_assert(!device<const model> && !device<int>);

struct cannot_be_copied : model {
  cannot_be_copied(const cannot_be_copied&) = delete;
};
struct allocate_throws : model {
  status allocate(std::size_t, void*&) { return {}; }
};
struct allocate_returns_the_pointer : model {
  void* allocate(std::size_t) noexcept { return nullptr; }
};
struct streams_without_identity : model {
  struct stream {
    using native = void*;
    void* handle;
  };
};
struct record_the_other_way_round : model {
  struct event {};
  status record(stream, event) noexcept { return {}; }
};
struct query_answers_bool : model {
  bool query(stream) noexcept { return true; }
};
struct copy_without_a_stream : model {
  status copy(void*, const void*, std::size_t) noexcept { return {}; }
};
struct pinned_is_missing : model {
 private:
  using model::allocate_pinned;
};
struct knows_no_captures : model {
 private:
  using model::is_capturing;
};
struct alignment_is_signed : model {
  int alignment() noexcept { return 256; }
};
static_assert(!device<cannot_be_copied> && !device<allocate_throws> && !device<allocate_returns_the_pointer>);
static_assert(!device<streams_without_identity> && !device<record_the_other_way_round> && !device<query_answers_bool>);
static_assert(!device<copy_without_a_stream> && !device<pinned_is_missing> && !device<knows_no_captures>);
static_assert(!device<alignment_is_signed>);

struct names_no_pages : model {
 private:
  using model::pages;
};
struct map_throws : model {
  status map(void*, std::size_t, pages) { return {}; }
};
struct reserve_without_alignment : model {
  status reserve(std::size_t, void*&) noexcept { return {}; }
};
struct never_unmaps : model {
 private:
  using model::unmap;
};
static_assert(device<names_no_pages> && !virtual_device<names_no_pages>);
static_assert(device<map_throws> && !virtual_device<map_throws>);
static_assert(!virtual_device<reserve_without_alignment> && !virtual_device<never_unmaps>);

}  // namespace

TEST_CASE("streams are compared by identity alone", "[concepts]") {
  using stream = device_stream<int>;
  REQUIRE(stream{1, 7} == stream{2, 7});
  REQUIRE_FALSE(stream{1, 7} == stream{1, 8});
}

TEST_CASE("a status is true if the call worked, and every error has a text of its own", "[concepts]") {
  REQUIRE(device_status{});
  std::set<std::string> texts;
  const auto last = static_cast<unsigned>(device_error::failed);
  for (unsigned k = 0; k <= last; ++k) {
    const device_status s{static_cast<device_error>(k), 0};
    REQUIRE(bool(s) == (k == 0));
    texts.insert(to_text(s.error));
  }
  REQUIRE(texts.size() == last + 1);
  REQUIRE(std::string(to_text(static_cast<device_error>(200))) == "unknown");
}
