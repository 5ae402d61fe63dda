#include <tokenheap/adapt/ggml_buffer_type.hpp>

#include <support/catch.hpp>

#include <string>

#include <adapt/ggml_kit.hpp>
#include <support/recorder.hpp>
#include <support/sources.hpp>
#include <tokenheap/source/pages.hpp>

using namespace tokenheap;
using adapt::ggml_buffer_type;

namespace {

struct declared;  // what the public header says of a buffer type
static_assert(!adapt::ggml_buffer_type_in_full<declared>);
static_assert(adapt::ggml_buffer_type_in_full<ggml_backend_buffer_type>);

ggml_backend_buffer* take(ggml_backend_buffer_type* type, std::size_t bytes) { return type->iface.alloc_buffer(type, bytes); }

}  // namespace

TEST_CASE("a buffer type gives buffers over a source, which behave as ggml's own") {
  ggml_kit::now = {};
  support::counting_source from;
  ggml_buffer_type mine(from, ggml_backend_cpu_buffer_type(), &ggml_backend_cpu_buffer_from_ptr, "pages");
  ggml_backend_buffer_type* const type = mine.get();
  CHECK(std::string(type->iface.get_name(type)) == "pages");
  CHECK(type->iface.is_host(type));
  CHECK(type->iface.get_alignment(type) == 32);
  ggml_backend_buffer* const one = take(type, 1000);
  ggml_backend_buffer* const two = take(type, 1);
  REQUIRE(one != nullptr);
  REQUIRE(two != nullptr);
  CHECK(one->buft == type);
  CHECK(one->size == 1000);
  CHECK(address_of(one->iface.get_base(one)) % 64 == 0);
  one->iface.clear(one, 7);
  CHECK(static_cast<unsigned char*>(one->context)[999] == 7);
  CHECK(mine.buffers() == 2);
  CHECK(from.live_bytes == 1001);
  ggml_backend_buffer_free(one);
  CHECK(mine.buffers() == 1);
  CHECK(from.live_bytes == 1);
  ggml_backend_buffer_free(two);
  CHECK(from.live == 0);
  CHECK(ggml_kit::now.buffers == 0);
  CHECK(ggml_kit::now.aborts == 0);
}

TEST_CASE("ggml sees what was granted, so that whole pages go back") {
  ggml_kit::now = {};
  page_source pages;
  ggml_buffer_type mine(pages, ggml_backend_cpu_buffer_type(), &ggml_backend_cpu_buffer_from_ptr);
  ggml_backend_buffer* const b = take(mine.get(), 5000);
  REQUIRE(b != nullptr);
  CHECK(b->size == 8192);
  CHECK(pages.mapped() == 8192);
  ggml_backend_buffer_free(b);
  CHECK(pages.mapped() == 0);
  CHECK(pages.last_failure().code == errc::ok);
  CHECK(std::string(mine.get()->iface.get_name(mine.get())) == "tokenheap");
}

TEST_CASE("an alignment beyond 64 bytes is kept") {
  ggml_kit::now = {};
  ggml_kit::now.alignment = 4096;
  support::counting_source from;
  ggml_buffer_type mine(from, ggml_backend_cpu_buffer_type(), &ggml_backend_cpu_buffer_from_ptr);
  ggml_backend_buffer* const b = take(mine.get(), 64);
  REQUIRE(b != nullptr);
  CHECK(address_of(b->context) % 4096 == 0);
  ggml_backend_buffer_free(b);
}

TEST_CASE("no memory is null, and a buffer that ggml does not make takes nothing") {
  ggml_kit::now = {};
  support::counting_source from;
  ggml_buffer_type mine(from, ggml_backend_cpu_buffer_type(), &ggml_backend_cpu_buffer_from_ptr);
  CHECK(take(mine.get(), max_allocation + 1) == nullptr);
  ggml_kit::now.refuse_wrap = 1;
  CHECK(take(mine.get(), 4096) == nullptr);
  CHECK(from.live == 0);
  CHECK(mine.buffers() == 0);
}

TEST_CASE("buffers that outlive their type are reported") {
  ggml_kit::now = {};
  support::recorder seen;
  support::counting_source from;
  ggml_backend_buffer* late = nullptr;
  {
    ggml_buffer_type mine(from, ggml_backend_cpu_buffer_type(), &ggml_backend_cpu_buffer_from_ptr, "late");
    late = take(mine.get(), 64);
  }
  REQUIRE(seen.count() == 1);
  CHECK(seen.last().code == errc::leaked);
  CHECK(seen.last().need == 1);
  CHECK(std::string(seen.last().pool) == "late");
  from.deallocate({late->context, late->size});
  late->iface.free_buffer = nullptr;
  ggml_backend_buffer_free(late);
}
