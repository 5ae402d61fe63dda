// A decoder of ggml (grouped queries, rotary positions) on three kinds of memory, its cache in one piece and in blocks.
//
//   decoder [f16|f32]
//
// Prints one line for each way with a hash of all logits, and fails if two differ. Where ggml's private header is found,
// the third kind is a buffer type of its own.
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#if __has_include(<ggml-backend-impl.h>)
#include <ggml-backend-impl.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <random>
#include <vector>

#include <tokenheap/adapt/ggml.hpp>
#include <tokenheap/adapt/ggml_buffer_type.hpp>
#include <tokenheap/adapt/ggml_rows.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/source/pages.hpp>

namespace kv = tokenheap::kv;
namespace adapt = tokenheap::adapt;

using memory = tokenheap::layered<tokenheap::page_source, tokenheap::with<tokenheap::counters>>;
using kv_pool = kv::block_pool<>;

namespace {

constexpr std::int64_t vocabulary = 256, width = 128, heads = 8, kv_heads = 4, head = 16, layers = 3, feed = 256;
constexpr std::int64_t narrow = kv_heads * head, context = 192, prompt = 37, block_tokens = 16, blocks = 24;

[[noreturn]] void stop(const char* why) {
  std::fprintf(stderr, "decoder: %s\n", why);
  std::exit(1);
}

/// A context that holds the names and shapes of tensors, and no memory for their numbers.
ggml_context* shapes(std::size_t tensors) {
  return ggml_init({.mem_size = tensors * ggml_tensor_overhead(), .mem_buffer = nullptr, .no_alloc = true});
}

struct layer {
  ggml_tensor *norm, *q, *k, *v, *out, *norm_feed, *gate, *up, *down;
};

struct weights {
  ggml_context* all = shapes(64);
  ggml_tensor *embed = matrix(width, vocabulary), *norm = matrix(width, 1), *out = matrix(width, vocabulary);
  layer of[layers];

  weights() {
    for (layer& l : of) {
      l = {matrix(width, 1), matrix(width, heads * head), matrix(width, narrow), matrix(width, narrow),
           matrix(heads * head, width), matrix(width, 1), matrix(width, feed), matrix(width, feed), matrix(feed, width)};
    }
  }
  ~weights() { ggml_free(all); }
  ggml_tensor* matrix(std::int64_t in, std::int64_t rows) { return ggml_new_tensor_2d(all, GGML_TYPE_F32, in, rows); }

  void fill(unsigned seed) {
    std::mt19937 random(seed);
    for (ggml_tensor* t = ggml_get_first_tensor(all); t != nullptr; t = ggml_get_next_tensor(all, t)) {
      std::vector<float> numbers(static_cast<std::size_t>(ggml_nelements(t)));
      const float scale = t->ne[1] == 1 ? 0.1f : 1.5f / std::sqrt(static_cast<float>(t->ne[0]));
      for (float& x : numbers) x = (static_cast<float>(random() >> 8) * 0x1p-23f - 1) * scale + (t->ne[1] == 1 ? 1.0f : 0.0f);
      ggml_backend_tensor_set(t, numbers.data(), 0, ggml_nbytes(t));
    }
  }
};

/// Keys and values of each layer as matrices, a row for each token.
struct cache {
  ggml_context* all = shapes(2 * layers + 1);
  ggml_tensor* plane[layers][2] = {};
  adapt::ggml_rows rows[layers][2] = {};  // where the cache has blocks
  std::vector<kv::block_id> table;        // the blocks of the one sequence; empty: its tokens lie one behind the other
  ~cache() { ggml_free(all); }
};

struct inputs {
  ggml_tensor *tokens, *positions, *mask, *write, *read;
};

/// Writes the new tokens of a plane and gives back all of them, in order.
ggml_tensor* through_cache(ggml_context* c, ggml_cgraph* g, const cache& held, ggml_tensor* plane, ggml_tensor* fresh,
                           const inputs& in) {
  const std::int64_t past = in.mask->ne[0] - fresh->ne[1];
  if (held.table.empty()) {
    ggml_build_forward_expand(g, ggml_cpy(c, fresh, ggml_view_2d(c, plane, narrow, fresh->ne[1], plane->nb[1],
                                                                 static_cast<std::size_t>(past) * plane->nb[1])));
    return ggml_view_2d(c, plane, narrow, in.mask->ne[0], plane->nb[1], 0);
  }
  ggml_tensor* const all = ggml_get_rows(c, ggml_set_rows(c, plane, fresh, in.write), in.read);
  return plane->type == GGML_TYPE_F32 ? all : ggml_cast(c, all, plane->type);
}

ggml_tensor* attend(ggml_context* c, ggml_cgraph* g, const weights& w, const cache& held, const inputs& in, int l,
                    ggml_tensor* x) {
  const std::int64_t n = x->ne[1], total = in.mask->ne[0];
  const layer& of = w.of[l];
  const auto rope = [&](ggml_tensor* t, std::int64_t count) {
    return ggml_rope(c, ggml_reshape_3d(c, t, head, count, n), in.positions, head, 0);
  };
  ggml_tensor* const q = rope(ggml_mul_mat(c, of.q, x), heads);
  ggml_tensor* const fresh = ggml_reshape_2d(c, rope(ggml_mul_mat(c, of.k, x), kv_heads), narrow, n);
  ggml_tensor* const keys = through_cache(c, g, held, held.plane[l][0], fresh, in);
  ggml_tensor* const values = through_cache(c, g, held, held.plane[l][1], ggml_mul_mat(c, of.v, x), in);
  const auto by_head = [&](ggml_tensor* t) {
    return ggml_view_3d(c, t, head, kv_heads, total, static_cast<std::size_t>(head) * ggml_type_size(t->type), t->nb[1], 0);
  };
  ggml_tensor* const scores = ggml_mul_mat(c, ggml_permute(c, by_head(keys), 0, 2, 1, 3), ggml_permute(c, q, 0, 2, 1, 3));
  ggml_tensor* const shares = ggml_soft_max_ext(c, scores, in.mask, 1.0f / std::sqrt(static_cast<float>(head)), 0.0f);
  ggml_tensor* const mixed = ggml_mul_mat(c, ggml_cont(c, ggml_permute(c, by_head(values), 1, 2, 0, 3)), shares);
  return ggml_mul_mat(c, of.out, ggml_cont_2d(c, ggml_permute(c, mixed, 0, 2, 1, 3), heads * head, n));
}

/// The graph of `n` tokens behind `past` others; its last node are the logits.
ggml_cgraph* graph(ggml_context* c, const weights& w, const cache& held, std::int64_t past, std::int64_t n, inputs& in) {
  ggml_cgraph* const g = ggml_new_graph(c);
  in = {ggml_new_tensor_1d(c, GGML_TYPE_I32, n), ggml_new_tensor_1d(c, GGML_TYPE_I32, n),
        ggml_new_tensor_2d(c, GGML_TYPE_F32, past + n, n), ggml_new_tensor_1d(c, GGML_TYPE_I64, n),
        ggml_new_tensor_1d(c, GGML_TYPE_I32, past + n)};
  for (ggml_tensor* const t : {in.tokens, in.positions, in.mask, in.write, in.read}) ggml_set_input(t);
  ggml_tensor* x = ggml_get_rows(c, w.embed, in.tokens);
  const auto normed = [&](ggml_tensor* t, ggml_tensor* by) { return ggml_mul(c, ggml_rms_norm(c, t, 1e-5f), by); };
  for (int l = 0; l != layers; ++l) {
    const layer& of = w.of[l];
    x = ggml_add(c, x, attend(c, g, w, held, in, l, normed(x, of.norm)));
    ggml_tensor* const y = normed(x, of.norm_feed);
    ggml_tensor* const z = ggml_mul(c, ggml_silu(c, ggml_mul_mat(c, of.gate, y)), ggml_mul_mat(c, of.up, y));
    x = ggml_add(c, x, ggml_mul_mat(c, of.down, z));
  }
  ggml_tensor* const logits = ggml_mul_mat(c, w.out, normed(x, w.norm));
  ggml_set_output(logits);
  ggml_build_forward_expand(g, logits);
  return g;
}

template <class T>
void set(ggml_tensor* t, const std::vector<T>& numbers) {
  if (t->data != nullptr) ggml_backend_tensor_set(t, numbers.data(), 0, numbers.size() * sizeof(T));
}

/// Gives the graph its numbers. Which blocks the tokens lie in is said here and nowhere else.
void feed_inputs(const inputs& in, const cache& held, const std::vector<std::int32_t>& tokens, std::size_t past) {
  const std::size_t n = tokens.size(), total = past + n;
  std::vector<std::int32_t> positions(n);
  std::vector<float> mask(n * total, 0.0f);
  for (std::size_t k = 0; k != n; ++k) {
    positions[k] = static_cast<std::int32_t>(past + k);
    for (std::size_t j = past + k + 1; j < total; ++j) mask[k * total + j] = -INFINITY;
  }
  set(in.tokens, tokens);
  set(in.positions, positions);
  set(in.mask, mask);
  if (held.table.empty()) return;
  // [rows]
  const adapt::ggml_rows& rows = held.rows[0][0];
  std::vector<std::int64_t> write(n);
  std::vector<std::int32_t> read(total);
  rows.write<std::int64_t>(held.table, past, write);  // for ggml_set_rows
  rows.write<std::int32_t>(held.table, 0, read);      // for ggml_get_rows
  // [rows]
  set(in.write, write);
  set(in.read, read);
}

struct outcome {
  std::uint64_t hash = 0xcbf29ce484222325;
  double seconds = 0;  // of the processor, since others may be at work
};

/// A prompt and then one token at a time, each the likeliest one; every logit goes into the hash.
outcome generate(const weights& w, const cache& held, ggml_backend_buffer_type* for_graphs) {
  ggml_backend* const cpu = ggml_backend_cpu_init();
  ggml_backend_cpu_set_n_threads(cpu, 1);
  ggml_gallocr* const scratch = ggml_gallocr_new(for_graphs);
  const std::clock_t begun = std::clock();
  const std::size_t room = 1024 * ggml_tensor_overhead() + ggml_graph_overhead();
  inputs in{};
  // without this ggml takes new memory whenever a graph is larger than the one before
  ggml_context* c = ggml_init({.mem_size = room, .mem_buffer = nullptr, .no_alloc = true});
  if (!ggml_gallocr_reserve(scratch, graph(c, w, held, context - prompt, prompt, in))) stop("no memory for graphs");
  ggml_free(c);
  outcome out;
  std::vector<std::int32_t> tokens(prompt);
  for (std::size_t k = 0; k != tokens.size(); ++k) tokens[k] = static_cast<std::int32_t>(k * 7 % vocabulary);
  for (std::size_t past = 0; past + tokens.size() <= context;) {
    c = ggml_init({.mem_size = room, .mem_buffer = nullptr, .no_alloc = true});
    ggml_cgraph* const g = graph(c, w, held, static_cast<std::int64_t>(past), static_cast<std::int64_t>(tokens.size()), in);
    if (!ggml_gallocr_alloc_graph(scratch, g)) stop("no memory for a graph");
    feed_inputs(in, held, tokens, past);
    if (ggml_backend_graph_compute(cpu, g) != GGML_STATUS_SUCCESS) stop("a graph was not computed");
    std::vector<float> logits(tokens.size() * vocabulary);
    ggml_backend_tensor_get(ggml_graph_node(g, -1), logits.data(), 0, logits.size() * sizeof(float));
    for (const float x : logits) {
      std::uint32_t bits = 0;
      std::memcpy(&bits, &x, sizeof bits);
      out.hash = (out.hash ^ bits) * 0x100000001b3;
    }
    past += tokens.size();
    tokens = {static_cast<std::int32_t>(std::max_element(logits.end() - vocabulary, logits.end()) - (logits.end() - vocabulary))};
    ggml_free(c);
  }
  out.seconds = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
  ggml_gallocr_free(scratch);
  ggml_backend_free(cpu);
  return out;
}

void add_planes(cache& held, ggml_type type) {
  for (auto& of : held.plane)
    for (ggml_tensor*& plane : of) plane = ggml_new_tensor_2d(held.all, type, narrow, context);
}

kv::layout layout_of(ggml_type type) {
  return {.layers = layers, .kv_heads = kv_heads, .head_size = head,
          .type = type == GGML_TYPE_F32 ? kv::dtype::float32 : kv::dtype::float16, .block_tokens = block_tokens};
}

/// Lets ggml see the planes of a pool, whose block 0 lies at `first` of a buffer.
void place_planes(cache& held, const kv::layout& shape, ggml_type type, ggml_backend_buffer* in, void* first) {
  // [paged]
  for (std::size_t l = 0; l != layers; ++l) {
    for (std::size_t plane = 0; plane != 2; ++plane) {
      auto rows = adapt::rows_for_ggml(shape, blocks, l, plane);
      if (!rows) stop(rows.why().fix);
      held.rows[l][plane] = *rows;
      held.plane[l][plane] = ggml_new_tensor_2d(held.all, type, static_cast<std::int64_t>(rows->numbers),
                                                static_cast<std::int64_t>(rows->rows));
      if (ggml_backend_tensor_alloc(in, held.plane[l][plane], tokenheap::offset(first, rows->offset)) != GGML_STATUS_SUCCESS)
        stop("ggml refused a plane");
    }
  }
  // [paged]
}

/// All blocks of the pool, of which the sequence takes some in a random order.
std::vector<kv::block_id> take_blocks(kv_pool& pool, std::vector<kv::block_id>& all) {
  all.resize(blocks);
  if (pool.allocate(all) != tokenheap::errc::ok) stop("no blocks");
  std::vector<kv::block_id> table = all;
  std::shuffle(table.begin(), table.end(), std::mt19937(3));
  table.resize(context / block_tokens);
  return table;
}

outcome with_ggml(ggml_type type, bool paged, memory&) {
  ggml_backend_buffer_type* const cpu = ggml_backend_cpu_buffer_type();
  weights w;
  cache held;
  ggml_backend_buffer* const weights_in = ggml_backend_alloc_ctx_tensors_from_buft(w.all, cpu);
  w.fill(5);
  kv::layout shape = layout_of(type);
  std::vector<kv::block_id> all;
  ggml_backend_buffer* cache_in = nullptr;
  if (paged) {
    // a pool of numbers alone: the memory is ggml's
    auto pool = kv_pool::open({.blocks = blocks, .name = "cache"});
    if (!pool) stop(pool.why().fix);
    cache_in = ggml_backend_buft_alloc_buffer(cpu, shape.tensor_bytes(blocks));
    place_planes(held, shape, type, cache_in, ggml_backend_buffer_get_base(cache_in));
    held.table = take_blocks(*pool, all);
    static_cast<void>(pool->deallocate(all));
  } else {
    add_planes(held, type);
    cache_in = ggml_backend_alloc_ctx_tensors_from_buft(held.all, cpu);
  }
  const outcome out = generate(w, held, cpu);
  ggml_backend_buffer_free(cache_in);
  ggml_backend_buffer_free(weights_in);
  return out;
}

outcome with_public_functions(ggml_type type, bool paged, memory& pages) {
  weights w;
  cache held;
  // [public]
  auto weights_in = adapt::open_ggml_tensors(pages, w.all, &ggml_backend_cpu_buffer_from_ptr);
  if (!weights_in) stop(weights_in.why().fix);
  // [public]
  w.fill(5);
  if (!paged) {
    add_planes(held, type);
    auto cache_in = adapt::open_ggml_tensors(pages, held.all, &ggml_backend_cpu_buffer_from_ptr);
    if (!cache_in) stop(cache_in.why().fix);
    return generate(w, held, ggml_backend_cpu_buffer_type());
  }
  // [pool]
  const kv::layout shape = layout_of(type);
  auto pool = kv_pool::open({.blocks = blocks, .name = "cache"}, shape, pages);
  if (!pool) stop(pool.why().fix);
  ggml_backend_buffer* const seen = ggml_backend_cpu_buffer_from_ptr(pool->data(0), shape.tensor_bytes(blocks));
  place_planes(held, shape, type, seen, pool->data(0));
  // [pool]
  std::vector<kv::block_id> all;
  held.table = take_blocks(*pool, all);
  const outcome out = generate(w, held, ggml_backend_cpu_buffer_type());
  static_cast<void>(pool->deallocate(all));
  ggml_backend_buffer_free(seen);
  return out;
}

#if __has_include(<ggml-backend-impl.h>)
outcome with_buffer_type(ggml_type type, bool paged, memory& pages) {
  // [full]
  adapt::ggml_buffer_type mine(pages, ggml_backend_cpu_buffer_type(), &ggml_backend_cpu_buffer_from_ptr);
  weights w;
  ggml_backend_buffer* const weights_in = ggml_backend_alloc_ctx_tensors_from_buft(w.all, mine.get());
  // [full]
  cache held;
  w.fill(5);
  const kv::layout shape = layout_of(type);
  ggml_backend_buffer* cache_in = nullptr;
  std::vector<kv::block_id> all;
  outcome out;
  if (paged) {
    // the engine's tensor, and a pool that lies in it
    cache_in = ggml_backend_buft_alloc_buffer(mine.get(), shape.tensor_bytes(blocks));
    void* const first = ggml_backend_buffer_get_base(cache_in);
    auto pool = kv_pool::open({.blocks = blocks, .name = "cache"}, kv::tensor{first, shape.tensor_bytes(blocks), shape, true});
    if (!pool) stop(pool.why().fix);
    place_planes(held, shape, type, cache_in, first);
    held.table = take_blocks(*pool, all);
    out = generate(w, held, mine.get());
    static_cast<void>(pool->deallocate(all));
  } else {
    add_planes(held, type);
    cache_in = ggml_backend_alloc_ctx_tensors_from_buft(held.all, mine.get());
    out = generate(w, held, mine.get());
  }
  ggml_backend_buffer_free(cache_in);
  ggml_backend_buffer_free(weights_in);
  return out;
}
#endif

}  // namespace

int main(int count, char** words) {
  const ggml_type type = count > 1 && std::strcmp(words[1], "f32") == 0 ? GGML_TYPE_F32 : GGML_TYPE_F16;
  struct way {
    const char* name;
    outcome (*run)(ggml_type, bool, memory&);
  };
  std::vector<way> ways = {{"ggml", &with_ggml}, {"public", &with_public_functions}};
#if __has_include(<ggml-backend-impl.h>)
  ways.push_back({"full", &with_buffer_type});
#endif
  memory warm;
  const std::uint64_t first = with_ggml(type, false, warm).hash;
  bool same = true;
  for (const way& w : ways) {
    for (const bool paged : {false, true}) {
      memory pages;
      const outcome out = w.run(type, paged, pages);
      same = same && out.hash == first;
      const tokenheap::counter_values took = pages.policy<tokenheap::counters>().values();
      if (took.granted.current != 0) stop("memory did not come back");
      std::printf("WAY {\"memory\": \"%s\", \"cache\": \"%s\", \"type\": \"%s\", \"logits\": \"%016llx\", \"allocations\": %zu, "
                  "\"peak_bytes\": %zu, \"asked_bytes\": %zu, \"seconds\": %.6f}\n",
                  w.name, paged ? "blocks" : "one piece", ggml_type_name(type), static_cast<unsigned long long>(out.hash),
                  took.calls.allocated, took.granted.peak, took.requested.allocated, out.seconds);
    }
  }
  if (!same) stop("logits differ");
  return 0;
}
