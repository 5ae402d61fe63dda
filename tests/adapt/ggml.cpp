#include <tokenheap/adapt/ggml.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <string>
#include <utility>

#include <adapt/ggml_kit.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;
using adapt::ggml_alignment;
using adapt::open_ggml_memory;
using adapt::open_ggml_tensors;

namespace {

/// Grants more than it is asked for, notices when another size comes back, and has `left` pieces.
struct generous {
  using space = host_space;
  host_source heap;
  std::size_t out = 0, wrong = 0, left = 1000;

  allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    if (!is_request(bytes, alignment) || left == 0) return {};
    --left;
    const allocation a = heap.allocate(align_up(bytes, 64) + 64, alignment);
    out += a.size;
    return a;
  }
  void deallocate(allocation a) noexcept {
    if (!a) return;
    wrong += a.size % 64 != 0;
    out -= a.size;
    heap.deallocate(a);
  }
};

}  // namespace

TEST_CASE("a source's piece is a buffer of ggml, and goes back as it was granted") {
  ggml_kit::now = {};
  generous from;
  {
    auto made = open_ggml_memory(from, 1000, &ggml_backend_cpu_buffer_from_ptr);
    REQUIRE(made);
    ggml_backend_buffer* const b = made->buffer();
    CHECK(b->size == 1024 + 64);
    CHECK(b->context == made->memory().data);
    CHECK(address_of(b->context) % ggml_alignment == 0);
    CHECK(from.out == 1024 + 64);
    CHECK(ggml_kit::now.buffers == 1);
    auto moved = std::move(*made);
    CHECK(made->buffer() == nullptr);
    CHECK(moved.buffer() == b);
    moved.close();
    CHECK(moved.buffer() == nullptr);
    CHECK(from.out == 0);
    moved.close();
  }
  CHECK(ggml_kit::now.buffers == 0);
  CHECK(ggml_kit::now.aborts == 0);
  CHECK(from.wrong == 0);
}

TEST_CASE("a device's own way of wrapping is taken as well") {
  ggml_kit::now = {};
  generous from;
  int asked = 0;
  auto made = open_ggml_memory(from, 64, [&](void* p, std::size_t n) {
    ++asked;
    return ggml_backend_cpu_buffer_from_ptr(p, n);
  });
  REQUIRE(made);
  CHECK(asked == 1);
}

TEST_CASE("no memory and no wrap are refusals that take nothing") {
  ggml_kit::now = {};
  generous from;
  const failure nothing = open_ggml_memory(from, 0, &ggml_backend_cpu_buffer_from_ptr).why();
  CHECK(nothing.code == errc::invalid_argument);
  CHECK(nothing.need == 0);
  from.left = 0;
  const failure none = open_ggml_memory(from, 4096, &ggml_backend_cpu_buffer_from_ptr).why();
  CHECK(none.code == errc::out_of_memory);
  CHECK(none.need == 4096);
  CHECK(std::string(none.pool) == "ggml");
  from.left = 1;
  ggml_kit::now.refuse_wrap = 1;
  CHECK(open_ggml_memory(from, 4096, &ggml_backend_cpu_buffer_from_ptr).error() == errc::unsupported);
  CHECK(from.out == 0);
  CHECK(ggml_kit::now.buffers == 0);
}

TEST_CASE("all tensors of a context get one piece: none overlaps, views follow, placed ones stay") {
  ggml_kit::now = {};
  generous from;
  ggml_context all;
  all.tensors.resize(6);
  unsigned char elsewhere[64] = {};
  auto& t = all.tensors;
  t[0].bytes = 100;
  t[1].bytes = 1;
  t[2] = {.bytes = 50, .view_src = &t[0], .view_offs = 50};
  t[3] = {.bytes = 64, .data = elsewhere};
  t[4].bytes = 4096;
  t[5] = {.bytes = 8, .view_src = &t[3], .view_offs = 8};
  CHECK(adapt::ggml_bytes_of(&all) == 128 + 64 + 4096);
  auto made = open_ggml_tensors(from, &all, &ggml_backend_cpu_buffer_from_ptr);
  REQUIRE(made);
  CHECK(ggml_kit::now.aborts == 0);
  CHECK(made->memory().size == 128 + 64 + 4096 + 64);
  const std::uintptr_t first = address_of(made->memory().data);
  CHECK(address_of(t[0].data) == first);
  CHECK(address_of(t[1].data) == first + 128);
  CHECK(address_of(t[4].data) == first + 128 + 32);
  CHECK(address_of(t[2].data) == first + 50);
  CHECK(t[3].data == elsewhere);
  // what it looks at is in no buffer of ggml's: there is nothing to follow
  CHECK(t[5].data == nullptr);
  for (const std::size_t k : {0u, 1u, 2u, 4u}) CHECK(t[k].buffer == made->buffer());
  CHECK(adapt::ggml_bytes_of(&all) == 0);
  const failure again = open_ggml_tensors(from, &all, &ggml_backend_cpu_buffer_from_ptr).why();
  CHECK(again.code == errc::invalid_argument);
}

TEST_CASE("a tensor that ggml refuses leaves all of them as they were") {
  for (int which = 1; which <= 3; ++which) {
    ggml_kit::now = {};
    ggml_kit::now.refuse_tensor = which;
    generous from;
    ggml_context all;
    all.tensors.resize(4);
    for (ggml_tensor& t : all.tensors) t.bytes = 96;
    all.tensors[3] = {.bytes = 8, .view_src = &all.tensors[0]};
    const failure why = open_ggml_tensors(from, &all, &ggml_backend_cpu_buffer_from_ptr).why();
    CHECK(why.code == errc::unsupported);
    CHECK(why.need == 96);
    for (const ggml_tensor& t : all.tensors) CHECK((t.data == nullptr && t.buffer == nullptr));
    CHECK(from.out == 0);
    CHECK(ggml_kit::now.buffers == 0);
    ggml_kit::now.refuse_tensor = 0;
    CHECK(open_ggml_tensors(from, &all, &ggml_backend_cpu_buffer_from_ptr));
    CHECK(ggml_kit::now.aborts == 0);
  }
}

TEST_CASE("sizes that do not fit and alignments beyond the header's are refused before ggml could abort") {
  ggml_kit::now = {};
  generous from;
  ggml_context all;
  all.tensors.resize(2);
  for (ggml_tensor& t : all.tensors) t.bytes = ~std::size_t{0} / 2 + 10;
  CHECK(adapt::ggml_bytes_of(&all) == ~std::size_t{0});
  CHECK(open_ggml_tensors(from, &all, &ggml_backend_cpu_buffer_from_ptr).error() == errc::out_of_memory);
  for (ggml_tensor& t : all.tensors) t.bytes = 10;
  ggml_kit::now.alignment = 128;
  const failure why = open_ggml_tensors(from, &all, &ggml_backend_cpu_buffer_from_ptr).why();
  CHECK(why.code == errc::unsupported);
  CHECK(why.need == 128);
  CHECK(from.out == 0);
  CHECK(ggml_kit::now.aborts == 0);
  CHECK(ggml_kit::now.buffers == 0);
}
