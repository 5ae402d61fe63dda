// An engine keeps the KV tensors that it has: our pool hands out their blocks, and its kernels get the tables they read.

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include <tokenheap/adapt/kv_engine.hpp>
#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/kv/tier_host.hpp>
#include <tokenheap/source/host.hpp>

namespace kv = tokenheap::kv;
namespace adapt = tokenheap::adapt;
using tokenheap::errc;
using sequence = kv::sequence<kv::block_pool<>>;

#define EXPECT(condition)                                           \
  do {                                                              \
    if (!(condition)) {                                             \
      std::fprintf(stderr, "kv_engine: expected %s\n", #condition); \
      return 1;                                                     \
    }                                                               \
  } while (false)

namespace {

constexpr kv::layout model{.layers = 2, .kv_heads = 4, .head_size = 8, .type = kv::dtype::float32, .block_tokens = 16};
constexpr std::int64_t layers = 2, blocks = 32, tokens = 16, heads = 4, size = 8;

/// Writes named arrays for tests/adapt/kv_tables.py: a line with name, kind and count, and the bytes.
struct report {
  std::FILE* file = nullptr;
  template <class T>
  void put(const std::string& name, const char* kind, const std::vector<T>& numbers) const {
    if (file == nullptr) return;
    std::fprintf(file, "%s %s %zu\n", name.c_str(), kind, numbers.size());
    std::fwrite(numbers.data(), sizeof(T), numbers.size(), file);
  }
};

/// What stands in for a model: the keys and values of a token, in numbers that say what they belong to.
float number_of(kv::token token, std::size_t at, const kv::element& e, std::size_t d) {
  return static_cast<float>((token * 31 + at * 7 + e.layer * 5 + e.plane * 3 + e.head * 2 + d * 11) % 251) - 125.0F;
}

/// Fills in what the prompt and the decoding wrote, wherever the engine's tensors have it.
void compute(const adapt::engine_cache& cache, const sequence& s, const std::vector<kv::token>& text) {
  for (std::size_t at = 0; at != text.size(); ++at) {
    kv::element e{.token = at % tokens};
    for (e.layer = 0; e.layer != model.layers; ++e.layer)
      for (e.plane = 0; e.plane != 2; ++e.plane)
        for (e.head = 0; e.head != model.kv_heads; ++e.head) {
          float numbers[size];
          for (std::size_t d = 0; d != size; ++d) numbers[d] = number_of(text[at], at, e, d);
          std::memcpy(cache.at(s.blocks()[at / tokens], e), numbers, sizeof numbers);
        }
  }
}

/// Four requests: two with a common beginning, a fork that went on by itself, and one block that is full.
struct requests {
  std::vector<sequence> running;
  std::vector<std::vector<kv::token>> texts;

  void add(sequence&& s, const std::vector<kv::token>& text) {
    running.push_back(static_cast<sequence&&>(s));
    texts.push_back(text);
  }
  bool open(kv::block_pool<>& pool, const adapt::engine_cache& cache) {
    std::vector<kv::token> text(37);
    std::iota(text.begin(), text.end(), 100);
    for (const std::size_t length : {std::size_t{37}, std::size_t{47}, std::size_t{16}}) {
      text.resize(length, 7);
      if (length == 47) text[32] = 8;      // two blocks in common with the first
      if (length == 16) text.front() = 9;  // none
      auto made = sequence::open(pool, text);
      if (!made) return false;
      compute(cache, *made, text);
      if (made->publish(length) != errc::ok) return false;
      add(static_cast<sequence&&>(*made), text);
    }
    auto fork = running[1].fork();
    const kv::token answer[] = {1, 2, 3};
    if (!fork || fork->append(answer) != errc::ok) return false;
    std::vector<kv::token> longer = texts[1];
    longer.insert(longer.end(), answer, answer + 3);
    compute(cache, *fork, longer);
    add(static_cast<sequence&&>(*fork), longer);
    return true;
  }
  /// The batch, with an empty row as a captured graph has them.
  std::vector<kv::table_row> rows() const {
    std::vector<kv::table_row> made;
    for (const sequence& s : running) made.push_back(kv::row_of(s));
    made.insert(made.begin() + 2, kv::table_row{});
    return made;
  }
  void put(const report& out, const std::string& name) const {
    for (std::size_t r = 0; r != texts.size(); ++r)
      out.put(name + ".text." + std::to_string(r < 2 ? r : r + 1), "I", texts[r]);
  }
};

int vllm(const report& out) {
  // [wrap]
  // vLLM's flash attention: for each layer a tensor [2, blocks, tokens, heads, head size]
  std::vector<std::vector<float>> memory(layers, std::vector<float>(2 * blocks * tokens * heads * size));
  const std::int64_t shape[] = {2, blocks, tokens, heads, size};
  std::vector<adapt::engine_tensor> tensors;
  for (auto& layer : memory)
    tensors.push_back(
        {.data = layer.data(), .bytes = layer.size() * 4, .number_bytes = 4, .axes = "KBNHD", .shape = shape});
  auto cache = adapt::engine_cache::open({.cpu_accessible = true, .name = "vllm"}, model, tensors);
  if (!cache) return std::fprintf(stderr, "%s\n", cache.why().fix), 1;
  auto pool = cache->open_pool({.null_block = true});  // block 0 is vLLM's null block
  if (!pool) return 1;
  // [wrap]
  EXPECT(pool->stats().total == blocks - 1);
  requests batch;
  EXPECT(batch.open(*pool, *cache));
  const auto rows = batch.rows();
  EXPECT(batch.running[0].blocks()[1] == batch.running[1].blocks()[1]);

  // [vllm]
  const std::size_t width = adapt::vllm_width(adapt::room_of(rows, tokens).widest, tokens);
  std::vector<std::int32_t> table(rows.size() * width), seq_lens(rows.size());
  EXPECT(adapt::write_vllm(rows, tokens, {.blocks = table, .width = width, .seq_lens = seq_lens}).code == errc::ok);
  // this step computes the last 3 tokens of the fork and the first 40 of the second request
  const adapt::query_row step[] = {{rows[4].blocks, 47, 3}, {rows[1].blocks, 0, 40}};
  std::vector<std::int64_t> slot_mapping(64);  // as many as the graph was captured for
  std::vector<std::int32_t> query_start_loc(3);
  EXPECT(adapt::write_vllm_slots(step, tokens, slot_mapping, query_start_loc).code == errc::ok);
  EXPECT(query_start_loc[2] == 43 && slot_mapping[43] == adapt::vllm_pad_slot);
  // [vllm]

  batch.put(out, "vllm");
  out.put("vllm.width", "I", std::vector<std::uint32_t>{static_cast<std::uint32_t>(width)});
  out.put("vllm.table", "i", table);
  out.put("vllm.seq_lens", "i", seq_lens);
  out.put("vllm.slots", "q", slot_mapping);
  for (std::size_t layer = 0; layer != memory.size(); ++layer)
    out.put("vllm.layer." + std::to_string(layer), "f", memory[layer]);
  return 0;
}

int flashinfer(const report& out) {
  // FlashInfer NHD: for each layer a tensor [blocks, 2, tokens, heads, head size]
  std::vector<std::vector<float>> memory(layers, std::vector<float>(2 * blocks * tokens * heads * size));
  const std::int64_t shape[] = {blocks, 2, tokens, heads, size};
  std::vector<adapt::engine_tensor> tensors;
  for (auto& layer : memory)
    tensors.push_back(
        {.data = layer.data(), .bytes = layer.size() * 4, .number_bytes = 4, .axes = "BKNHD", .shape = shape});
  auto cache = adapt::engine_cache::open({.cpu_accessible = true, .name = "flashinfer"}, model, tensors);
  if (!cache) return std::fprintf(stderr, "%s\n", cache.why().fix), 1;
  auto pool = cache->open_pool();
  if (!pool) return 1;
  requests batch;
  EXPECT(batch.open(*pool, *cache));
  const auto rows = batch.rows();

  // [flashinfer]
  const adapt::table_room room = adapt::room_of(rows, tokens);
  std::vector<std::int32_t> indptr(room.rows + 1), indices(room.pages), last_page_len(room.rows);
  EXPECT(adapt::write_flashinfer(rows, tokens, {indptr, indices, last_page_len}).code == errc::ok);
  EXPECT(indptr[3] - indptr[2] == 0 && last_page_len[2] == 0);  // the empty row
  // [flashinfer]

  batch.put(out, "flashinfer");
  out.put("flashinfer.indptr", "i", indptr);
  out.put("flashinfer.indices", "i", indices);
  out.put("flashinfer.last_page_len", "i", last_page_len);
  for (std::size_t layer = 0; layer != memory.size(); ++layer)
    out.put("flashinfer.layer." + std::to_string(layer), "f", memory[layer]);
  return 0;
}

int trtllm(const report& out) {
  // [trtllm]
  // TensorRT-LLM: one pool [blocks, layers, 2, heads, tokens, head size], and one like it in host memory
  std::vector<float> primary(blocks * layers * 2 * heads * tokens * size), secondary(primary.size() / blocks * 4);
  const std::int64_t shape[] = {blocks, layers, 2, heads, tokens, size};
  const adapt::engine_tensor tensor{
      .data = primary.data(), .bytes = primary.size() * 4, .number_bytes = 4, .axes = "BLKHND", .shape = shape};
  auto cache = adapt::engine_cache::open({.cpu_accessible = true, .name = "trtllm"}, model, {&tensor, 1});
  if (!cache) return std::fprintf(stderr, "%s\n", cache.why().fix), 1;
  const auto pieces = adapt::trtllm_pool_of(cache->shape(), primary.data(), secondary.data());
  if (!pieces) return std::fprintf(stderr, "%s\n", pieces.why().fix), 1;
  // [trtllm]
  auto pool = cache->open_pool();
  if (!pool) return 1;
  requests batch;
  EXPECT(batch.open(*pool, *cache));
  auto rows = batch.rows();
  // the request of one block was moved to host memory: block 3 there
  EXPECT(cache->copy_out(rows[3].blocks[0], secondary.data() + 3 * (secondary.size() / 4)));
  const kv::block_id moved[] = {adapt::in_secondary(3)};
  rows[3].blocks = moved;

  // [offsets]
  const std::size_t width = adapt::room_of(rows, tokens).widest;
  std::vector<std::int32_t> offsets(rows.size() * 2 * width), mapping(layers * 2);
  std::vector<std::int64_t> pointers(2);
  EXPECT(adapt::write_trtllm(rows, *pieces, {.offsets = offsets, .width = width}).code == errc::ok);
  EXPECT(adapt::write_trtllm_pools({&*pieces, 1}, pointers, mapping).code == errc::ok);
  // [offsets]

  batch.put(out, "trtllm");
  out.put("trtllm.width", "I", std::vector<std::uint32_t>{static_cast<std::uint32_t>(width)});
  out.put("trtllm.offsets", "i", offsets);
  out.put("trtllm.mapping", "i", mapping);
  out.put("trtllm.primary", "f", primary);
  out.put("trtllm.secondary", "f", secondary);
  return 0;
}

int offload() {
  tokenheap::host_source heap;
  const std::size_t bytes = model.block_bytes();
  auto tier = kv::host_tier<>::open({.block_bytes = bytes, .room = {.blocks = 2}}, heap);
  if (!tier) return 1;
  std::vector<std::vector<unsigned char>> staged(3, std::vector<unsigned char>(bytes));
  const unsigned char hashes[3][16] = {{1}, {2}, {3}};
  // [offload]
  auto offload = adapt::vllm_offload<kv::host_tier<>>::open({}, *tier);
  if (!offload) return 1;
  const adapt::offload_key keys[] = {adapt::offload_key::of(hashes[0], 0), adapt::offload_key::of(hashes[1], 0)};
  const kv::tier_span from[] = {{staged[0].data(), bytes}, {staged[1].data(), bytes}};
  bool chosen[2];
  const auto plan = offload->prepare_store(keys, from, chosen);
  EXPECT(plan && plan->stores == 2 && offload->lookup(keys[0]) == adapt::lookup_result::hit_pending);
  while (!offload->poll(plan->ticket)) {
  }  // an engine goes on with other work and asks again
  EXPECT(offload->complete_store(plan->ticket, true) == 2);
  EXPECT(offload->lookup(keys[0]) == adapt::lookup_result::hit);

  // the tier is full: a third block pushes out the one that is longest unused, and that is known by its key
  const adapt::offload_key third[] = {adapt::offload_key::of(hashes[2], 0)};
  const kv::tier_span last[] = {{staged[2].data(), bytes}};
  adapt::offload_key evicted[1];
  const auto more = offload->prepare_store(third, last, std::span(chosen, 1), evicted);
  EXPECT(more && more->evicted == 1 && evicted[0] == keys[1]);
  EXPECT(offload->complete_store(more->ticket, true) == 1);
  std::size_t stored = 0, removed = 0;
  offload->take_events([&](const adapt::offload_event& e) { ++(e.removed ? removed : stored); });
  EXPECT(stored == 3 && removed == 1);
  // [offload]
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  report out{count > 1 ? std::fopen(arguments[1], "wb") : nullptr};
  if (count > 1 && out.file == nullptr) return std::perror(arguments[1]), 1;
  const int failed = vllm(out) + flashinfer(out) + trtllm(out) + offload();
  if (out.file != nullptr && std::fclose(out.file) != 0) return 1;
  if (failed == 0)
    std::puts("one engine's tensors each for vLLM, FlashInfer and TensorRT-LLM: wrapped, and their tables written");
  return failed;
}
