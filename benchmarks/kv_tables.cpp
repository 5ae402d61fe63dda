// Page tables of a batch as FlashInfer, vLLM and TensorRT-LLM read them, beside loops that only write, without checks.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include <tokenheap/adapt/block_tables.hpp>
#include <tokenheap/adapt/trtllm_tables.hpp>
#include <tokenheap/adapt/vllm_tables.hpp>

namespace {

namespace kv = tokenheap::kv;
namespace adapt = tokenheap::adapt;
using tokenheap::errc;

constexpr std::size_t block_tokens = 16;
constexpr std::size_t batch = 256;

[[noreturn]] void fail(const char* why) {
  std::fprintf(stderr, "benchmark_kv_tables: %s\n", why);
  std::exit(1);
}

/// A decode batch: each request has `mean` blocks more or less, the last of them partly filled.
struct requests {
  std::vector<std::vector<kv::block_id>> blocks;
  std::vector<kv::table_row> rows;
  std::vector<adapt::query_row> steps;  // the last 64 tokens of each
  std::size_t pages = 0, widest = 0, tokens = 0;

  explicit requests(std::size_t mean) {
    std::mt19937 random(7);
    for (std::size_t r = 0; r != batch; ++r) {
      std::vector<kv::block_id> ids(mean / 2 + random() % (mean + 1) + 4);
      for (kv::block_id& id : ids) id = static_cast<kv::block_id>(random() % 65'536);
      pages += ids.size();
      if (ids.size() > widest) widest = ids.size();
      blocks.push_back(static_cast<std::vector<kv::block_id>&&>(ids));
    }
    for (const auto& ids : blocks) {
      const std::size_t length = ids.size() * block_tokens - random() % block_tokens;
      rows.push_back({ids, length});
      steps.push_back({ids, length - 64, 64});
      tokens += 64;
    }
  }
};

void count(benchmark::State& state, const char* name, std::size_t each) {
  state.counters[name] = benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(each) * 1e-9,
                                            benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// ---- FlashInfer

struct csr_limit {
  static bool write(const requests& all, std::int32_t* indptr, std::int32_t* indices, std::int32_t* last) {
    std::int32_t at = 0;
    indptr[0] = 0;
    for (std::size_t r = 0; r != all.rows.size(); ++r) {
      const auto& row = all.rows[r];
      const std::size_t pages = (row.tokens + block_tokens - 1) / block_tokens;
      std::memcpy(indices + at, row.blocks.data(), pages * sizeof(std::int32_t));
      at += static_cast<std::int32_t>(pages);
      indptr[r + 1] = at;
      last[r] = static_cast<std::int32_t>(row.tokens - (pages - 1) * block_tokens);
    }
    return true;
  }
};
struct csr_of_ours {
  static bool write(const requests& all, std::int32_t* indptr, std::int32_t* indices, std::int32_t* last) {
    return adapt::write_flashinfer(all.rows, block_tokens, {{indptr, batch + 1}, {indices, all.pages}, {last, batch}})
               .code == errc::ok;
  }
};

template <class Writer>
void flashinfer(benchmark::State& state) {
  const requests all(static_cast<std::size_t>(state.range(0)));
  std::vector<std::int32_t> indptr(batch + 1), indices(all.pages), last(batch);
  for (auto _ : state) {
    if (!Writer::write(all, indptr.data(), indices.data(), last.data())) fail("a table was refused");
    benchmark::ClobberMemory();
  }
  count(state, "ns_per_block", all.pages);
}

// ---- vLLM

struct dense_limit {
  static bool write(const requests& all, std::int32_t* table, std::int32_t* lengths) {
    for (std::size_t r = 0; r != all.rows.size(); ++r) {
      const auto& row = all.rows[r];
      std::int32_t* const line = table + r * all.widest;
      std::memcpy(line, row.blocks.data(), row.blocks.size() * sizeof(std::int32_t));
      std::memset(line + row.blocks.size(), 0, (all.widest - row.blocks.size()) * sizeof(std::int32_t));
      lengths[r] = static_cast<std::int32_t>(row.tokens);
    }
    return true;
  }
};
struct dense_of_ours {
  static bool write(const requests& all, std::int32_t* table, std::int32_t* lengths) {
    return adapt::write_vllm(all.rows, block_tokens,
                             {.blocks = {table, batch * all.widest}, .width = all.widest, .seq_lens = {lengths, batch}})
               .code == errc::ok;
  }
};

template <class Writer>
void vllm(benchmark::State& state) {
  const requests all(static_cast<std::size_t>(state.range(0)));
  std::vector<std::int32_t> table(batch * all.widest), lengths(batch);
  for (auto _ : state) {
    if (!Writer::write(all, table.data(), lengths.data())) fail("a table was refused");
    benchmark::ClobberMemory();
  }
  count(state, "ns_per_block", all.pages);
}

// ---- slots of vLLM

struct slots_limit {
  static bool write(const requests& all, std::int64_t* out) {
    for (const adapt::query_row& row : all.steps) {
      std::size_t place = row.first % block_tokens;
      const kv::block_id* block = row.blocks.data() + row.first / block_tokens;
      for (std::size_t left = row.count; left != 0; ++block, place = 0) {
        const std::size_t run = block_tokens - place < left ? block_tokens - place : left;
        const auto slot = static_cast<std::int64_t>(*block * block_tokens + place);
        for (std::size_t n = 0; n != run; ++n) *out++ = slot + static_cast<std::int64_t>(n);
        left -= run;
      }
    }
    return true;
  }
};
struct slots_of_ours {
  static bool write(const requests& all, std::int64_t* out) {
    return adapt::write_vllm_slots(all.steps, block_tokens, {out, all.tokens}).code == errc::ok;
  }
};

template <class Writer>
void slots(benchmark::State& state) {
  const requests all(static_cast<std::size_t>(state.range(0)));
  std::vector<std::int64_t> out(all.tokens);
  for (auto _ : state) {
    if (!Writer::write(all, out.data())) fail("slots were refused");
    benchmark::ClobberMemory();
  }
  count(state, "ns_per_token", all.tokens);
}

// ---- TensorRT-LLM

constexpr std::uint32_t pieces_of_block = 64;  // 32 layers

struct offsets_limit {
  static bool write(const requests& all, const adapt::trtllm_pool&, std::int32_t* out) {
    for (const auto& row : all.rows) {
      std::int32_t* const values = out + all.widest;
      std::size_t at = 0;
      for (; at != row.blocks.size(); ++at) {
        out[at] = static_cast<std::int32_t>(row.blocks[at] * pieces_of_block);
        values[at] = static_cast<std::int32_t>(row.blocks[at] * pieces_of_block + 1);
      }
      for (; at != all.widest; ++at) out[at] = values[at] = adapt::trtllm_padding;
      out += 2 * all.widest;
    }
    return true;
  }
};
struct offsets_of_ours {
  static bool write(const requests& all, const adapt::trtllm_pool& pool, std::int32_t* out) {
    return adapt::write_trtllm(all.rows, pool, {.offsets = {out, 2 * batch * all.widest}, .width = all.widest}).code ==
           errc::ok;
  }
};

template <class Writer>
void trtllm(benchmark::State& state) {
  const requests all(static_cast<std::size_t>(state.range(0)));
  std::vector<std::int32_t> out(2 * batch * all.widest);
  const kv::layout shape{
      .layers = 32, .kv_heads = 8, .head_size = 128, .block_tokens = 16, .order = kv::axis_order::hnd};
  const auto pool = adapt::trtllm_pool_of(shape, out.data());
  if (!pool || pool->block_step != pieces_of_block) fail("no pool");
  for (auto _ : state) {
    if (!Writer::write(all, *pool, out.data())) fail("offsets were refused");
    benchmark::ClobberMemory();
  }
  count(state, "ns_per_block", all.pages);
}

BENCHMARK_TEMPLATE(flashinfer, csr_limit)->Name("kv_tables_flashinfer/limit")->Arg(16)->Arg(512);
BENCHMARK_TEMPLATE(flashinfer, csr_of_ours)->Name("kv_tables_flashinfer/tokenheap")->Arg(16)->Arg(512);
BENCHMARK_TEMPLATE(vllm, dense_limit)->Name("kv_tables_vllm/limit")->Arg(16)->Arg(512);
BENCHMARK_TEMPLATE(vllm, dense_of_ours)->Name("kv_tables_vllm/tokenheap")->Arg(16)->Arg(512);
BENCHMARK_TEMPLATE(slots, slots_limit)->Name("kv_tables_slots/limit")->Arg(16)->Arg(512);
BENCHMARK_TEMPLATE(slots, slots_of_ours)->Name("kv_tables_slots/tokenheap")->Arg(16)->Arg(512);
BENCHMARK_TEMPLATE(trtllm, offsets_limit)->Name("kv_tables_trtllm/limit")->Arg(16)->Arg(512);
BENCHMARK_TEMPLATE(trtllm, offsets_of_ours)->Name("kv_tables_trtllm/tokenheap")->Arg(16)->Arg(512);

}  // namespace

BENCHMARK_MAIN();
