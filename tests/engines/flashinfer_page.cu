// FlashInfer's own paged_kv_t over our tables: every token of random requests is where its arithmetic looks for it.
// Compiled by tests/engines/engine_flashinfer.py; runs on the host alone.

#include <flashinfer/page.cuh>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include <tokenheap/adapt/block_tables.hpp>
#include <tokenheap/adapt/engine_cache.hpp>
#include <tokenheap/kv/sequence.hpp>

namespace kv = tokenheap::kv;
namespace adapt = tokenheap::adapt;
using tokenheap::errc;
using sequence = kv::sequence<kv::block_pool<>>;

namespace {

constexpr std::size_t layers = 2, blocks = 64, tokens = 16, heads = 4, size = 8;
constexpr kv::layout model{
    .layers = layers, .kv_heads = heads, .head_size = size, .type = kv::dtype::float32, .block_tokens = tokens};

float number_of(kv::token token, const kv::element& e, std::size_t d) {
  return static_cast<float>(token * 64 + e.layer * 32 + e.plane * 16 + e.head * 4 + d % 4) + static_cast<float>(d) / 16;
}

void compute(const adapt::engine_cache& cache, const sequence& s, const std::vector<kv::token>& text) {
  for (std::size_t at = 0; at != text.size(); ++at) {
    kv::element e{0, 0, 0, at % tokens};
    for (e.layer = 0; e.layer != layers; ++e.layer)
      for (e.plane = 0; e.plane != 2; ++e.plane)
        for (e.head = 0; e.head != heads; ++e.head) {
          float numbers[size];
          for (std::size_t d = 0; d != size; ++d) numbers[d] = number_of(text[at], e, d);
          std::memcpy(cache.at(s.blocks()[at / tokens], e), numbers, sizeof numbers);
        }
  }
}

/// The count of numbers that FlashInfer finds, or stops with what it does not.
std::size_t read_all(flashinfer::QKVLayout order, const char* axes, unsigned seed) {
  const bool nhd = order == flashinfer::QKVLayout::kNHD;
  std::vector<std::vector<float>> memory(layers, std::vector<float>(blocks * 2 * tokens * heads * size));
  const std::int64_t by_token[] = {blocks, 2, tokens, heads, size}, by_head[] = {blocks, 2, heads, tokens, size};
  std::vector<adapt::engine_tensor> tensors;
  for (auto& layer : memory)
    tensors.push_back(
        {layer.data(), layer.size() * 4, 4, axes, nhd ? std::span<const std::int64_t>(by_token) : by_head});
  auto cache = adapt::engine_cache::open({true}, model, tensors);
  if (!cache) return std::printf("no cache: %s\n", cache.why().what), 0;
  auto pool = cache->open_pool();
  if (!pool) return std::printf("no pool: %s\n", pool.why().what), 0;

  std::mt19937 random(seed);
  std::vector<sequence> running;
  std::vector<std::vector<kv::token>> texts;
  for (int n = 0; n != 9; ++n) {
    if (n % 3 == 2) {  // a fork that goes on by itself
      auto fork = running.back().fork();
      std::vector<kv::token> text = texts.back();
      const kv::token more[] = {static_cast<kv::token>(n), 77};
      if (!fork || fork->append(more) != errc::ok) return std::printf("no fork\n"), 0;
      text.insert(text.end(), more, more + 2);
      running.push_back(static_cast<sequence&&>(*fork));
      texts.push_back(text);
    } else {
      std::vector<kv::token> text(1 + random() % 90);
      for (std::size_t at = 0; at != text.size(); ++at)
        text[at] = static_cast<kv::token>(at < 32 ? at : random() % 500);
      auto made = sequence::open(*pool, text);
      if (!made) return std::printf("no room\n"), 0;
      running.push_back(static_cast<sequence&&>(*made));
      texts.push_back(text);
    }
    compute(*cache, running.back(), texts.back());
    if (running.back().publish(texts.back().size()) != errc::ok) return 0;
  }
  std::vector<kv::table_row> rows;
  for (const sequence& s : running) rows.push_back(kv::row_of(s));
  rows.push_back({});
  texts.emplace_back();

  const adapt::table_room room = adapt::room_of(rows, tokens);
  std::vector<std::int32_t> indptr(room.rows + 1), indices(room.pages), last(room.rows);
  if (adapt::write_flashinfer(rows, tokens, {indptr, indices, last}).code != errc::ok) return 0;
  std::size_t found = 0;
  constexpr std::int64_t plane = tokens * heads * size;
  const std::int64_t strides[] = {2 * plane, nhd ? heads * size : tokens * size, size};
  for (std::size_t layer = 0; layer != layers; ++layer) {
    float* const keys = memory[layer].data();
    const flashinfer::paged_kv_t<float, std::int32_t> paged(
        heads, tokens, size, static_cast<std::uint32_t>(rows.size()), order, keys, keys + plane, strides,
        indices.data(), indptr.data(), last.data());
    for (std::size_t r = 0; r != rows.size(); ++r) {
      if (paged.get_length(static_cast<std::uint32_t>(r)) != texts[r].size())
        return std::printf("row %zu has length %u\n", r, paged.get_length(static_cast<std::uint32_t>(r))), 0;
      for (std::size_t at = 0; at != texts[r].size(); ++at) {
        const auto page = static_cast<std::size_t>(indices[static_cast<std::size_t>(indptr[r]) + at / tokens]);
        for (std::size_t head = 0; head != heads; ++head) {
          for (std::size_t d = 0; d != size; ++d, found += 2) {
            const float key = paged.k_data[paged.get_elem_offset(page, head, at % tokens, d)];
            const float value = paged.v_data[paged.get_v_elem_offset(page, head, at % tokens, d)];
            if (key != number_of(texts[r][at], {layer, 0, head, 0}, d) ||
                value != number_of(texts[r][at], {layer, 1, head, 0}, d))
              return std::printf("row %zu, token %zu, head %zu is not there\n", r, at, head), 0;
          }
        }
      }
    }
  }
  return found;
}

}  // namespace

int main() {
  std::size_t all = 0;
  for (unsigned seed = 1; seed != 6; ++seed) {
    const std::size_t nhd = read_all(flashinfer::QKVLayout::kNHD, "BKNHD", seed);
    const std::size_t hnd = read_all(flashinfer::QKVLayout::kHND, "BKHND", seed);
    if (nhd == 0 || hnd != nhd) return std::printf("seed %u\n", seed), 1;
    all += nhd + hnd;
  }
  std::printf("%zu\n", all);
}
