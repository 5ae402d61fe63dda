#include <tokenheap/adapt/engine_tensor.hpp>

#include <support/catch.hpp>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

using numbers = std::vector<std::int64_t>;

constexpr std::size_t blocks = 6, tokens = 4, heads = 3, size = 8;
constexpr kv::layout two_layers{
    .layers = 2, .kv_heads = heads, .head_size = size, .type = kv::dtype::float16, .block_tokens = tokens};

std::int64_t count_of(char axis, const kv::layout& of) {
  switch (axis) {
    case 'L':
      return static_cast<std::int64_t>(of.layers);
    case 'B':
      return static_cast<std::int64_t>(blocks);
    case 'K':
      return 2;
    case 'N':
      return static_cast<std::int64_t>(of.block_tokens);
    case 'H':
      return static_cast<std::int64_t>(of.kv_heads);
    default:
      return static_cast<std::int64_t>(of.head_size);
  }
}

/// An engine's cache: `axes` as its framework names them, `memory` the order in which they lie.
struct cache {
  kv::layout model;
  std::string axes;
  numbers shape, strides;
  std::vector<std::vector<std::uint16_t>> memory;
  std::vector<engine_tensor> tensors;

  cache(const kv::layout& of, const char* named, const char* lies) : model(of), axes(named) {
    const std::string in_memory(lies);
    for (const char axis : axes) shape.push_back(count_of(axis, of));
    std::int64_t all = 1;
    strides.resize(axes.size());
    for (std::size_t at = in_memory.size(); at-- != 0;) {
      strides[axes.find(in_memory[at])] = all;
      all *= count_of(in_memory[at], of);
    }
    const std::size_t n = tensors_of(of, named);
    for (std::size_t t = 0; t != n; ++t) memory.emplace_back(static_cast<std::size_t>(all));
    for (auto& m : memory)
      tensors.push_back({.data = m.data(), .bytes = m.size() * 2, .axes = named, .shape = shape, .strides = strides});
  }

  /// Where the engine itself finds a number, by its own strides.
  const std::uint16_t* find(std::size_t layer, std::size_t block, std::size_t plane, std::size_t token,
                            std::size_t head) const {
    const bool layered = axes.find('L') != std::string::npos || model.layers == 1;
    const bool both = axes.find('K') != std::string::npos || model.planes == 1;
    const std::size_t tensor = (layered ? 0 : layer) * (both ? 1 : model.planes) + (both ? 0 : plane);
    std::int64_t at = 0;
    for (std::size_t k = 0; k != axes.size(); ++k) {
      const std::size_t indices[] = {layer, block, plane, token, head, 0};
      at += static_cast<std::int64_t>(indices[std::string("LBKNHD").find(axes[k])]) * strides[k];
    }
    return memory[tensor].data() + at;
  }
};

void check_places(const cache& c) {
  const auto fit = fit_tensors(c.model, c.tensors);
  if (!fit) {
    char line[400];
    describe(fit.why(), line, sizeof line);
    FAIL(line);
  }
  CHECK(fit->blocks == blocks);
  const kv::layout& l = fit->shape;
  REQUIRE(l.tensors() == c.tensors.size());
  std::size_t wrong = 0;
  for (std::size_t layer = 0; layer != l.layers; ++layer)
    for (std::size_t block = 0; block != blocks; ++block)
      for (std::size_t plane = 0; plane != l.planes; ++plane)
        for (std::size_t token = 0; token != l.block_tokens; ++token)
          for (std::size_t head = 0; head != l.kv_heads; ++head) {
            const kv::tensor_place at = l.place_of(block, {layer, plane, head, token});
            const void* const ours = static_cast<const unsigned char*>(c.tensors[at.tensor].data) + at.offset;
            wrong += ours != c.find(layer, block, plane, token, head);
          }
  CHECK(wrong == 0);
}

failure why(const kv::layout& model, const std::vector<engine_tensor>& tensors) {
  const auto fit = fit_tensors(model, tensors, "engine");
  REQUIRE_FALSE(fit);
  const failure no = fit.why();
  CHECK(std::string(no.pool) == "engine");
  CHECK(std::string(no.what) != "");
  CHECK(std::string(no.fix) != "");
  return no;
}

void refused(const cache& c, errc code, std::size_t need, std::size_t available) {
  const failure no = why(c.model, c.tensors);
  INFO(no.what);
  CHECK(no.code == code);
  CHECK(no.need == need);
  CHECK(no.available == available);
}

}  // namespace

TEST_CASE("every number of every block is where the engine's strides have it") {
  struct named {
    const char *axes, *memory;
  };
  const auto of = GENERATE(named{"KBNHD", "KBNHD"}, named{"KBNHD", "KBHND"},  // vLLM's flash attention: NHD, HND
                           named{"BKNHD", "BKNHD"}, named{"BKHND", "BKHND"},  // FlashInfer: NHD, HND
                           named{"BKNHD", "BKHND"}, named{"BNHD", "BNHD"},    // keys and values in tensors of their own
                           named{"LBKNHD", "BLKNHD"}, named{"BLKNHD", "BLKNHD"},  // one tensor for all layers
                           named{"LKBNHD", "LKBNHD"}, named{"LBKHND", "LBKHND"},  // layers outermost
                           named{"BLKHND", "BLKHND"}, named{"LBNHD", "BLNHD"}, named{"LKBNHD", "KLBHND"});
  CAPTURE(of.axes, of.memory);
  check_places(cache(two_layers, of.axes, of.memory));
  kv::layout single = two_layers;
  single.layers = 1;
  check_places(cache(single, of.axes, of.memory));
  kv::layout one_head = two_layers;
  one_head.kv_heads = 1;
  check_places(cache(one_head, of.axes, of.memory));
  kv::layout one_token = two_layers;
  one_token.block_tokens = 1;
  check_places(cache(one_token, of.axes, of.memory));
}

TEST_CASE("latent vectors: pages without heads, one for all layers, and rows of mixed formats by their bytes") {
  kv::layout latent{
      .layers = 2, .kv_heads = 1, .head_size = 576, .type = kv::dtype::bfloat16, .block_tokens = tokens, .planes = 1};
  check_places(cache(latent, "BND", "BND"));
  check_places(cache(latent, "LBND", "BLND"));
  // 656 bytes a token: 512 numbers in fp8, four scales, 64 numbers in bfloat16
  kv::layout mixed{.layers = 1,
                   .kv_heads = 1,
                   .head_size = 512,
                   .type = kv::dtype::float8_e4m3,
                   .block_tokens = 64,
                   .planes = 1,
                   .scales = {.per = kv::scale_per::group,
                              .type = kv::scale_type::float32,
                              .group = 128,
                              .place = kv::scale_place::row},
                   .tail_size = 64,
                   .tail_type = kv::dtype::bfloat16};
  std::vector<unsigned char> memory(5 * 64 * 656);
  const numbers shape{5, 64, 656};
  engine_tensor t{.data = memory.data(), .bytes = memory.size(), .number_bytes = 1, .axes = "BND", .shape = shape};
  const auto fit = fit_tensors(mixed, {&t, 1});
  REQUIRE(fit);
  CHECK(fit->shape.block_bytes() == 64 * 656);
  CHECK(fit->shape.is_one_piece());
  mixed.scales.group = 64;
  const failure no = why(mixed, {t});
  CHECK(no.need == 512 + 8 * 4 + 128);
  CHECK(no.available == 656);
}

TEST_CASE("gaps between blocks, layers and planes become steps, and what has none becomes none") {
  cache c(two_layers, "BLKNHD", "BLKNHD");
  auto fit = fit_tensors(two_layers, c.tensors);
  REQUIRE(fit);
  CHECK(fit->shape == two_layers);
  CHECK(fit->shape.is_one_piece());
  // a page padded by 64 numbers: blocks stay one piece
  c.strides[0] += 64;
  c.memory[0].resize(static_cast<std::size_t>(c.strides[0]) * blocks);
  c.tensors[0].data = c.memory[0].data(), c.tensors[0].bytes = c.memory[0].size() * 2;
  check_places(c);
  const auto padded = fit_tensors(two_layers, c.tensors);
  CHECK(padded->shape.steps == kv::strides{.block = static_cast<std::size_t>(c.strides[0]) * 2});
  CHECK(padded->shape.is_one_piece());
  CHECK_FALSE(fit_tensors(two_layers, cache(two_layers, "KBNHD", "KBNHD").tensors)->shape.is_one_piece());
}

TEST_CASE("views of one tensor, cut by layer, are tensors like others") {
  cache whole(two_layers, "BLKNHD", "BLKNHD");
  const numbers shape{blocks, 2, tokens, heads, size};
  const numbers strides{whole.strides[0], whole.strides[2], whole.strides[3], whole.strides[4], 1};
  std::vector<engine_tensor> views;
  for (std::size_t layer = 0; layer != 2; ++layer) {
    std::uint16_t* const first = whole.memory[0].data() + layer * static_cast<std::size_t>(whole.strides[1]);
    views.push_back({.data = first,
                     .bytes = whole.memory[0].size() * 2 - layer * static_cast<std::size_t>(whole.strides[1]) * 2,
                     .axes = "BKNHD",
                     .shape = shape,
                     .strides = strides});
  }
  const auto fit = fit_tensors(two_layers, views);
  REQUIRE(fit);
  CHECK(fit->shape.layers_apart);
  CHECK(fit->shape.steps.block == static_cast<std::size_t>(whole.strides[0]) * 2);
}

TEST_CASE("two tensors are one cache if and only if no byte is in both") {
  // where in a tensor the planes of its blocks are, by bytes
  const auto mark = [](std::vector<char>& bytes, std::size_t first, const numbers& strides) {
    bool met = false;
    for (std::size_t block = 0; block != blocks; ++block)
      for (std::size_t plane = 0; plane != 2; ++plane)
        for (std::size_t at = 0; at != tokens * heads * size; ++at) {
          const std::size_t n = block * static_cast<std::size_t>(strides[0]) + plane * static_cast<std::size_t>(strides[1]) + at;
          met = met || bytes[first + n] != 0;
          bytes[first + n] = 1;
        }
    return met;
  };
  constexpr std::int64_t row = heads * size, plane = tokens * row;
  const numbers shape{blocks, 2, tokens, heads, size};
  std::size_t accepted = 0;
  for (const numbers& strides : {numbers{2 * plane, plane, row, size, 1}, numbers{2 * plane + 32, plane, row, size, 1},
                                 numbers{5 * plane, plane + 8, row, size, 1}, numbers{plane, 9 * plane, row, size, 1}}) {
    std::vector<std::uint16_t> memory(80 * plane);
    for (std::size_t far = 0; far < 40 * plane; far += 4) {
      std::vector<char> bytes(memory.size());
      static_cast<void>(mark(bytes, 0, strides));
      const bool met = mark(bytes, far, strides);
      const auto tensor = [&](std::size_t at) {
        return engine_tensor{.data = memory.data() + at, .bytes = 80 * plane, .axes = "BKNHD", .shape = shape, .strides = strides};
      };
      const std::vector<engine_tensor> two{tensor(0), tensor(far)}, turned{tensor(far), tensor(0)};
      const auto fit = fit_tensors(two_layers, two), back = fit_tensors(two_layers, turned);
      accepted += static_cast<bool>(fit);
      if (fit && !met && back) continue;
      INFO(far << " numbers apart, blocks " << strides[0]);
      REQUIRE((!fit && !back && met));
    }
  }
  REQUIRE(accepted > 100);
}

TEST_CASE("keys and values of different sizes need tensors of their own") {
  kv::layout uneven = two_layers;
  uneven.value_head_size = 16;
  const failure joint = why(uneven, cache(uneven, "BKNHD", "BKNHD").tensors);
  CHECK(joint.need == 16);
  CHECK(joint.available == 32);
  const numbers keys{blocks, tokens, heads, size}, values{blocks, tokens, heads, 16};
  std::vector<std::uint16_t> memory[4];
  std::vector<engine_tensor> tensors;
  for (std::size_t t = 0; t != 4; ++t) {
    memory[t].resize(blocks * tokens * heads * (t % 2 == 0 ? size : 16));
    tensors.push_back(
        {.data = memory[t].data(), .bytes = memory[t].size() * 2, .axes = "BNHD", .shape = t % 2 == 0 ? keys : values});
  }
  const auto fit = fit_tensors(uneven, tensors);
  REQUIRE(fit);
  CHECK(fit->shape.planes_apart);
  CHECK(fit->shape.place_of(2, {.layer = 1, .plane = 1, .head = 1, .token = 3}) ==
        kv::tensor_place{3, 2 * tokens * heads * 32 + 3 * heads * 32 + 32});
  std::swap(tensors[2], tensors[3]);
  const failure crossed = why(uneven, tensors);
  CHECK(crossed.need == size);
  CHECK(crossed.available == 16);
}

TEST_CASE("a tensor that is not the model's is refused by both numbers") {
  const auto other = [](auto change) {
    cache c(two_layers, "BKNHD", "BKNHD");
    change(c);
    return c;
  };
  refused(other([](cache& c) { c.model.block_tokens = 16; }), errc::invalid_argument, 16, tokens);
  refused(other([](cache& c) { c.model.kv_heads = 8; }), errc::invalid_argument, 8, heads);
  refused(other([](cache& c) { c.model.head_size = 128; }), errc::invalid_argument, 256, 16);
  refused(other([](cache& c) { c.model.type = kv::dtype::float32; }), errc::invalid_argument, 32, 16);
  refused(other([](cache& c) { c.model.layers = 3; }), errc::invalid_argument, 3, 2);
  refused(other([](cache& c) { c.model.planes = 1; }), errc::invalid_argument, 1, 2);
  refused(other([](cache& c) { c.model.layers = 0; }), errc::invalid_argument, 0, 0);
  refused(other([](cache& c) { c.tensors.pop_back(); }), errc::invalid_argument, 2, 1);
  refused(other([](cache& c) { c.tensors.clear(); }), errc::invalid_argument, 1, 0);
  refused(other([](cache& c) { c.tensors[1].bytes -= 2; }), errc::too_large, blocks * 384, blocks * 384 - 2);
  refused(other([](cache& c) { c.tensors[0].data = nullptr; }), errc::too_large, blocks * 384, 0);
  refused(other([](cache& c) { c.tensors[1].data = c.tensors[0].data; }), errc::invalid_argument, 192, 0);
  refused(other([](cache& c) { c.tensors[1].data = static_cast<char*>(c.tensors[0].data) + 190; }),
          errc::invalid_argument, 192, 190);
  refused(other([](cache& c) {
            c.model.type = kv::dtype::int8,
            c.model.scales = kv::default_scaling(kv::dtype::int8, kv::scale_place::beside);
          }),
          errc::invalid_argument, 0, 2 * 2 * tokens * heads * 4);
}

TEST_CASE("axes, shapes and strides that are none are refused") {
  const auto other = [](auto change) {
    cache c(two_layers, "BKNHD", "BKNHD");
    change(c);
    for (engine_tensor& t : c.tensors) t.shape = c.shape, t.strides = c.strides;
    return c;
  };
  refused(other([](cache& c) { c.shape.pop_back(); }), errc::invalid_argument, 5, 4);
  refused(other([](cache& c) { c.strides.pop_back(); }), errc::invalid_argument, 5, 4);
  refused(other([](cache& c) { c.tensors[0].axes = "BKNHX"; }), errc::invalid_argument, 4, 5);
  refused(other([](cache& c) { c.tensors[0].axes = "BKNHH"; }), errc::invalid_argument, 3, 5);
  refused(other([](cache& c) { c.shape[0] = 0; }), errc::invalid_argument, 1, 0);
  refused(other([](cache& c) { c.strides[0] = 0; }), errc::invalid_argument, 1, 0);  // expanded
  refused(other([](cache& c) { c.strides[0] = -96; }), errc::invalid_argument, 1, 0);
  refused(other([](cache& c) { c.strides[4] = 2; }), errc::invalid_argument, 16, 32);     // gaps in a head
  refused(other([](cache& c) { c.strides[2] = 32; }), errc::invalid_argument, 48, 64);    // gaps between tokens
  refused(other([](cache& c) { c.strides[3] = 16; }), errc::invalid_argument, 48, 48);    // and between heads
  refused(other([](cache& c) { c.strides[1] = 95; }), errc::invalid_argument, 192, 190);  // planes overlap
  refused(other([](cache& c) { c.strides[0] = 191; }), errc::invalid_argument, 384, 382);
  refused(other([](cache& c) { c.strides[0] = std::int64_t{1} << 62; }), errc::size_overflow, 384,
          std::size_t{1} << 63);
  refused(other([](cache& c) { c.shape[0] = std::int64_t{1} << 60; }), errc::size_overflow, std::size_t{1} << 60,
          max_allocation);
}

TEST_CASE("tensors of one cache are alike") {
  const numbers five{5, 2, tokens, heads, size}, wide{768, 96, 24, 8, 1};
  cache c(two_layers, "BKNHD", "BKNHD");
  c.tensors[1].shape = five;
  refused(c, errc::invalid_argument, blocks, 5);
  c.tensors[1].shape = c.shape;
  c.tensors[1].strides = wide;
  refused(c, errc::invalid_argument, 384, 1536);
  c.tensors[1].strides = c.strides;
  c.tensors[1].axes = "BKHND";
  refused(c, errc::invalid_argument, tokens, heads);
  cache split(two_layers, "BNHD", "BNHD");
  const numbers by_head{96, 8, 32, 1};
  split.tensors[1].strides = split.tensors[3].strides = by_head;
  refused(split, errc::invalid_argument, 0, 1);
}
