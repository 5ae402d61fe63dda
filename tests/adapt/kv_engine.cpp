#include <tokenheap/adapt/kv_engine.hpp>

#include <support/catch.hpp>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <kv/kit.hpp>
#include <tokenheap/kv/tier_host.hpp>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

constexpr kv::layout model{.layers = 3, .kv_heads = 2, .head_size = 4, .type = kv::dtype::float32, .block_tokens = 4};
constexpr std::size_t blocks = 24;

struct engine {
  std::vector<std::int64_t> shape;
  std::vector<std::vector<float>> memory;
  std::vector<engine_tensor> tensors;

  engine(const char* axes, std::vector<std::int64_t> counts) : shape(static_cast<std::vector<std::int64_t>&&>(counts)) {
    std::size_t all = 1;
    for (const std::int64_t n : shape) all *= static_cast<std::size_t>(n);
    for (std::size_t t = 0; t != tensors_of(model, axes); ++t) memory.emplace_back(all);
    for (auto& m : memory)
      tensors.push_back({.data = m.data(), .bytes = all * 4, .number_bytes = 4, .axes = axes, .shape = shape});
  }
};

float number_of(kv::token token, const kv::element& e) {
  return static_cast<float>(token * 64 + e.layer * 16 + e.plane * 8 + e.head * 4);
}
template <class See>
void each_head(const engine_cache& cache, std::span<const kv::block_id> ids, const std::vector<kv::token>& text,
               See see) {
  for (std::size_t at = 0; at != text.size(); ++at) {
    kv::element e{.token = at % 4};
    for (e.layer = 0; e.layer != 3; ++e.layer)
      for (e.plane = 0; e.plane != 2; ++e.plane)
        for (e.head = 0; e.head != 2; ++e.head) see(cache.at(ids[at / 4], e), number_of(text[at], e));
  }
}
void compute(const engine_cache& cache, std::span<const kv::block_id> ids, const std::vector<kv::token>& text) {
  each_head(cache, ids, text, [](void* at, float first) {
    const float numbers[4] = {first, first + 1, first + 2, first + 3};
    std::memcpy(at, numbers, sizeof numbers);
  });
}
std::size_t wrong(const engine_cache& cache, std::span<const kv::block_id> ids, const std::vector<kv::token>& text) {
  std::size_t count = 0;
  each_head(cache, ids, text, [&](const void* at, float first) {
    float numbers[4];
    std::memcpy(numbers, at, sizeof numbers);
    count += numbers[0] != first || numbers[3] != first + 3;
  });
  return count;
}

}  // namespace

TEST_CASE("blocks leave one engine by its own keys and come back in another engine's shape") {
  engine flash("KBNHD", {2, blocks, 4, 2, 4}), infer("BLKNHD", {blocks, 3, 2, 4, 2, 4});
  auto from = engine_cache::open({.cpu_accessible = true}, model, flash.tensors);
  auto to = engine_cache::open({.cpu_accessible = true}, model, infer.tensors);
  REQUIRE(from);
  REQUIRE(to);
  auto sender = from->open_pool({.null_block = true}), receiver = to->open_pool();
  REQUIRE(sender);
  REQUIRE(receiver);
  host_source heap;
  const std::size_t bytes = model.block_bytes();
  auto tier = kv::host_tier<>::open({.block_bytes = bytes, .room = {.blocks = 8}}, heap);
  auto offload = vllm_offload<kv::host_tier<>>::open({}, *tier);
  REQUIRE(offload);

  const auto text = kit::count_up(23, 5);
  auto request = kit::opened(*sender, text);
  compute(*from, request.blocks(), text);
  std::vector<std::vector<unsigned char>> staged(6, std::vector<unsigned char>(bytes));
  std::vector<kv::tier_span> spans;
  std::vector<offload_key> keys;
  for (std::size_t k = 0; k != 6; ++k) {
    REQUIRE(from->copy_out(request.blocks()[k], staged[k].data()));
    spans.push_back({staged[k].data(), bytes});
    const unsigned char hash[16] = {static_cast<unsigned char>(k)};
    keys.push_back(offload_key::of(hash, 0));
  }
  bool flags[6];
  const auto plan = offload->prepare_store(keys, spans, flags);
  REQUIRE(plan);
  REQUIRE(offload->poll(plan->ticket));
  CHECK(offload->complete_store(plan->ticket, true) == 6);

  auto other = kit::opened(*receiver, text);
  for (auto& s : staged) std::fill(s.begin(), s.end(), static_cast<unsigned char>(0));
  const kv::tier_ticket load = offload->prepare_load(keys, spans);
  REQUIRE(offload->poll(load));
  CHECK(offload->complete_load(load, flags) == 6);
  for (std::size_t k = 0; k != 6; ++k) REQUIRE(to->copy_in(other.blocks()[k], staged[k].data()));
  CHECK(wrong(*to, other.blocks(), text) == 0);
}

TEST_CASE("random requests that fork, grow and end: every token is found through each engine's table") {
  const auto seed = static_cast<std::uint32_t>(GENERATE(1, 2, 3));
  CAPTURE(seed);
  std::mt19937 random(seed);
  engine own("BLKHND", {blocks, 3, 2, 2, 4, 4});
  auto cache = engine_cache::open({.cpu_accessible = true}, model, own.tensors);
  REQUIRE(cache);
  auto pool = cache->open_pool();
  REQUIRE(pool);
  const auto pieces = trtllm_pool_of(cache->shape(), own.memory[0].data());
  REQUIRE(pieces);
  std::vector<kit::sequence> running;
  std::vector<std::vector<kv::token>> texts;
  for (int step = 0; step != 120; ++step) {
    const std::size_t which = running.empty() ? 0 : random() % running.size();
    if (random() % 4 == 0 && !running.empty()) {
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(which));
      texts.erase(texts.begin() + static_cast<std::ptrdiff_t>(which));
    } else if (random() % 3 == 0 && !running.empty()) {
      auto fork = running[which].fork();
      if (!fork) continue;
      running.push_back(static_cast<kit::sequence&&>(*fork));
      texts.push_back(std::vector<kv::token>(texts[which]));
    } else if (random() % 2 == 0 && !running.empty()) {
      const auto more = kit::count_up(1 + random() % 6, static_cast<kv::token>(random() % 1000));
      if (running[which].append(more) != errc::ok) continue;
      texts[which].insert(texts[which].end(), more.begin(), more.end());
      compute(*cache, running[which].blocks(), texts[which]);
    } else {
      const auto text = kit::count_up(1 + random() % 17, static_cast<kv::token>(random() % 3));
      auto made = kit::sequence::open(*pool, text);
      if (!made) continue;
      compute(*cache, made->blocks(), text);
      REQUIRE(made->publish(text.size()) == errc::ok);
      running.push_back(static_cast<kit::sequence&&>(*made));
      texts.push_back(text);
    }
    std::vector<kv::table_row> rows;
    for (const kit::sequence& s : running) rows.push_back(kv::row_of(s));
    const table_room room = room_of(rows, 4);
    std::vector<std::int32_t> indptr(room.rows + 1), indices(room.pages), last(room.rows),
        dense(room.rows * room.widest), offsets(2 * room.rows * room.widest);
    REQUIRE(write_flashinfer(rows, 4, {indptr, indices, last}).code == errc::ok);
    REQUIRE(write_vllm(rows, 4, {.blocks = dense, .width = room.widest}).code == errc::ok);
    REQUIRE(write_trtllm(rows, *pieces, {.offsets = offsets, .width = room.widest}).code == errc::ok);
    for (std::size_t r = 0; r != rows.size(); ++r) {
      std::vector<kv::block_id> by_csr, by_dense, by_offset;
      for (std::size_t at = 0; at != divide_up(rows[r].tokens, 4); ++at) {
        by_csr.push_back(static_cast<kv::block_id>(indices[static_cast<std::size_t>(indptr[r]) + at]));
        by_dense.push_back(static_cast<kv::block_id>(dense[r * room.widest + at]));
        by_offset.push_back(static_cast<kv::block_id>(offsets[r * 2 * room.widest + at] / 6));
      }
      CHECK(wrong(*cache, by_csr, texts[r]) == 0);
      CHECK(by_dense == by_csr);
      CHECK(by_offset == by_csr);
    }
  }
}
