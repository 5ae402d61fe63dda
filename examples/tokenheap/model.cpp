#include "model.hpp"

#include <algorithm>
#include <cmath>

#include <tokenheap/kv/quantise.hpp>

#include "device_step.hpp"
#include "kernels.hpp"
#include "random.hpp"

namespace program {
namespace {

using m = model_shape;
constexpr std::size_t half_head = m::head_size / 2;
constexpr std::size_t queries_per_head = m::heads / m::kv_heads;

template <class Memory>
float* take(Memory& memory, std::size_t count) {
  return static_cast<float*>(memory.allocate(count * sizeof(float), 64).data);
}

// rotates each head by the angles of its position, which is what tells attention how far apart two tokens are
void rotate(float* heads, std::size_t count, const float* turns) {
  for (std::size_t h = 0; h < count; ++h, heads += m::head_size) {
    for (std::size_t i = 0; i < half_head; ++i) {
      const float a = heads[i];
      const float b = heads[i + half_head];
      heads[i] = a * turns[i] - b * turns[half_head + i];
      heads[i + half_head] = a * turns[half_head + i] + b * turns[i];
    }
  }
}

void angles(std::uint32_t position, float* turns) {
  for (std::size_t i = 0; i < half_head; ++i) {
    const double frequency = std::pow(10000.0, -static_cast<double>(i) / half_head);
    turns[i] = static_cast<float>(std::cos(position * frequency));
    turns[half_head + i] = static_cast<float>(std::sin(position * frequency));
  }
}

// reads a head's sixteen numbers where the cache holds them as they are
struct plain_heads {
  static constexpr std::size_t stride = m::head_size * sizeof(float);
  static constexpr std::size_t scale_bytes = 0;

  static head16 load(const std::byte* head, const std::byte*) { return load16(reinterpret_cast<const float*>(head)); }
};

// the same out of any other format
struct packed_heads {
  explicit packed_heads(const kv_view& cache)
      : format(cache.layout), stride(cache.layout.token_stride()), scale_bytes(cache.scale_bytes()) {}

  kv::quantiser format;
  std::size_t stride;
  std::size_t scale_bytes;

  [[nodiscard]] head16 load(const std::byte* head, const std::byte* scales) const {
    float numbers[m::head_size];
    format.read(0, head, scales, numbers);
    return load16(numbers);
  }
};

// calls visit(head) with one head of each token at the positions below `count`, in order
template <class Heads, class Visit>
void for_each_head(const kv_view& cache, const Heads& heads, const kv::element& first, std::size_t count, Visit visit) {
  const std::size_t step = cache.layout.block_tokens;
  for (std::size_t at = 0; at < count; at += step) {
    const std::byte* head = cache.at(first.layer, first.plane, first.head, at);
    const std::byte* scales = cache.scales_at(first.layer, first.plane, first.head, at);
    for (const std::byte* const end = head + std::min(step, count - at) * heads.stride; head != end; head += heads.stride) {
      visit(heads.load(head, scales));
      scales += heads.scale_bytes;
    }
  }
}

// one query head over positions 0 .. count - 1; `partial` holds four sums a position, `weight` one number
struct head_scratch {
  float* partial;
  float* weight;
};

float softmax_weights(const head_scratch& s, std::size_t count) {
  const float4 scale = all4(1.0F / std::sqrt(static_cast<float>(m::head_size)));
  const std::size_t padded = (count + 3) / 4 * 4;
  for (std::size_t i = 0; i < padded; i += 4) {
    store4(s.weight + i, sums_of_4(s.partial + 4 * i) * scale);
  }
  for (std::size_t i = count; i < padded; ++i) s.weight[i] = -1e30F;
  float4 top = load4(s.weight);
  for (std::size_t i = 4; i < padded; i += 4) {
    const float4 w = load4(s.weight + i);
    top = w > top ? w : top;
  }
  const float4 highest = all4(std::max(std::max(top[0], top[1]), std::max(top[2], top[3])));
  float4 total{};
  for (std::size_t i = 0; i < padded; i += 4) {
    const float4 e = exp4(load4(s.weight + i) - highest);
    store4(s.weight + i, e);
    total += e;
  }
  return sum4(total);
}

// the two query heads that share one key and value head, for one row; `query` and `out` hold them side by side
template <class Heads>
void attend(const kv_view& cache, const Heads& heads, const kv::element& of, std::size_t count, const float* query,
            const head_scratch* s, float* out) {
  static_assert(queries_per_head == 2 && m::head_size == 16);
  const head16 first = load16(query);
  const head16 second = load16(query + m::head_size);
  float* first_partial = s[0].partial;
  float* second_partial = s[1].partial;
  for_each_head(cache, heads, {of.layer, 0, of.head}, count, [&](const head16& k) {
    store4(first_partial, product16(first, k));
    store4(second_partial, product16(second, k));
    first_partial += 4;
    second_partial += 4;
  });
  const float4 first_total = all4(softmax_weights(s[0], count));
  const float4 second_total = all4(softmax_weights(s[1], count));
  const float* first_weight = s[0].weight;
  const float* second_weight = s[1].weight;
  head16 first_sum{};
  head16 second_sum{};
  for_each_head(cache, heads, {of.layer, 1, of.head}, count, [&](const head16& v) {
    add_scaled(first_sum, all4(*first_weight++), v);
    add_scaled(second_sum, all4(*second_weight++), v);
  });
  store16(out, divided(first_sum, first_total));
  store16(out + m::head_size, divided(second_sum, second_total));
}

// `to` names the token by its position in the sequence
void write_head(const kv_view& cache, const kv::element& to, const float* numbers) {
  std::byte* const head = cache.at(to.layer, to.plane, to.head, to.token);
  if (cache.layout.type == kv::dtype::float32) {
    std::copy_n(numbers, m::head_size, reinterpret_cast<float*>(head));
  } else {
    kv::quantiser(cache.layout).write(to.plane, numbers, head, cache.scales_at(to.layer, to.plane, to.head, to.token));
  }
}

// a step on the host: its memory is an arena, and nobody needs to know what a kernel touches
class host_step {
 public:
  static constexpr bool is_watched = false;

  explicit host_step(scratch_memory& memory) : memory_(memory) {}

  static std::span<const row> inputs(std::span<const row> plan) { return plan; }
  [[nodiscard]] float* take(std::size_t count, memory_class) { return program::take(memory_, count); }
  static void launch(std::initializer_list<touch>) {}
  static bool finish() { return true; }

 private:
  scratch_memory& memory_;
};

template <class Step>
void normalize(Step& step, const float* in, std::size_t rows, const float* weights, float* out) {
  step.launch({reads(in, rows * m::width), reads(weights, m::width), writes(out, rows * m::width)});
  rms_norm(in, rows, m::width, weights, out);
}

template <class Step>
void project(Step& step, const float* in, std::size_t rows, std::size_t inner, const float* weights, std::size_t columns,
             float* out, bool add) {
  step.launch({reads(in, rows * inner), reads(weights, inner * columns), reads(out, add ? rows * columns : 0),
               writes(out, rows * columns)});
  multiply(in, rows, inner, weights, columns, out, add);
}

template <class Step>
void clear(Step& step, float* from, std::size_t count) {
  step.launch({writes(from, count)});
  std::fill_n(from, count, 0.0F);
}

// the keys and values of one layer at positions first .. end - 1
void list_cache(std::vector<touch>& out, const kv_view& cache, std::size_t layer, std::size_t first, std::size_t end,
                touch::kind how) {
  const std::size_t step = cache.layout.block_tokens;
  for (std::size_t at = first; at < end;) {
    const std::size_t count = std::min(step - at % step, end - at);
    if (count == step) {
      out.push_back({cache.at(layer, 0, 0, at), cache.layout.layer_bytes(), how});
    } else {
      for (std::size_t h = 0; h < m::kv_heads; ++h)
        for (std::size_t plane = 0; plane < cache.layout.planes; ++plane) {
          out.push_back({cache.at(layer, plane, h, at), count * cache.layout.head_bytes(), how});
          if (cache.scale_bytes() != 0)
            out.push_back({cache.scales_at(layer, plane, h, at), count * cache.scale_bytes(), how});
        }
    }
    at += count;
  }
}

// calls visit(cache, first position, end of positions) for each sequence that has rows in this step
template <class Visit>
void for_each_sequence(std::span<const row> plan, Visit visit) {
  for (std::size_t i = 0; i < plan.size();) {
    std::size_t end = i + 1;
    while (end < plan.size() && plan[end].cache == plan[i].cache) ++end;
    visit(*plan[i].cache, plan[i].position, plan[end - 1].position + std::size_t{1});
    i = end;
  }
}

}  // namespace

struct decoder::buffers {
  std::size_t rows = 0;            // rounded up to what the kernels take
  std::size_t longest_padded = 0;  // positions, rounded up as well
  float* state = nullptr;
  float* normed = nullptr;
  float* turns = nullptr;
  float* query = nullptr;
  float* key = nullptr;
  float* value = nullptr;
  float* attended = nullptr;
  float* gate = nullptr;
  float* up = nullptr;
  head_scratch heads[queries_per_head] = {};

  template <class Step>
  bool open(std::size_t count, std::size_t longest, Step& step) {
    rows = (count + 3) / 4 * 4;
    longest_padded = (longest + 3) / 4 * 4;
    bool all = true;
    const auto get = [&](float*& into, std::size_t n, memory_class of = memory_class::activations) {
      all = (into = step.take(n, of)) != nullptr && all;
    };
    get(state, rows * m::width);
    get(normed, rows * m::width);
    get(turns, rows * m::head_size);
    get(query, rows * m::query_width);
    get(key, rows * m::kv_width);
    get(value, rows * m::kv_width);
    get(attended, rows * m::query_width);
    get(gate, rows * m::hidden);
    get(up, rows * m::hidden);
    for (head_scratch& s : heads) {
      get(s.partial, 4 * longest_padded, memory_class::scratch);
      get(s.weight, longest_padded, memory_class::scratch);
    }
    if (!all) return false;
    // the rows that only fill up the last four must hold numbers
    clear(step, state + count * m::width, (rows - count) * m::width);
    clear(step, attended + count * m::query_width, (rows - count) * m::query_width);
    for (head_scratch& s : heads) clear(step, s.partial, 4 * longest_padded);
    return true;
  }
};

bool decoder::open(weight_memory& memory, std::uint64_t seed) {
  random_stream random(seed);
  bool all = true;
  const auto fill = [&](float*& into, std::size_t rows, std::size_t columns, double range) {
    if ((into = take(memory, rows * columns)) == nullptr) return void(all = false);
    for (std::size_t i = 0; i < rows * columns; ++i) into[i] = static_cast<float>((2 * random.unit() - 1) * range);
  };
  // uniform numbers of this range keep the variance of what goes through the matrix
  const auto matrix = [&](float*& into, std::size_t rows, std::size_t columns) {
    fill(into, rows, columns, std::sqrt(3.0 / static_cast<double>(rows)));
  };
  const auto norm = [&](float*& into) {
    if ((into = take(memory, m::width)) == nullptr) return void(all = false);
    for (std::size_t i = 0; i < m::width; ++i) into[i] = static_cast<float>(0.75 + 0.5 * random.unit());
  };
  fill(embedding_, m::vocabulary, m::width, std::sqrt(3.0));
  for (layer_weights& w : layers_) {
    norm(w.attention_norm);
    matrix(w.query, m::width, m::query_width);
    matrix(w.key, m::width, m::kv_width);
    matrix(w.value, m::width, m::kv_width);
    matrix(w.output, m::query_width, m::width);
    norm(w.feed_norm);
    matrix(w.gate, m::width, m::hidden);
    matrix(w.up, m::width, m::hidden);
    matrix(w.down, m::hidden, m::width);
  }
  norm(final_norm_);
  matrix(head_, m::width, m::vocabulary);
  return all;
}

bool decoder::forward(std::span<const row> rows, scratch_memory& scratch) const {
  host_step step(scratch);
  return run(rows, step);
}

bool decoder::forward(std::span<const row> rows, device_step& step) const { return run(rows, step); }

template <class Step>
bool decoder::run(std::span<const row> plan, Step& step) const {
  std::size_t longest = 0;
  for (const row& r : plan) longest = std::max<std::size_t>(longest, r.position + 1);
  buffers b;
  const std::span<const row> rows = step.inputs(plan);
  if (rows.empty() || !b.open(rows.size(), longest, step)) return false;
  embed(rows, b, step);
  for (std::size_t layer = 0; layer < m::layers; ++layer) {
    const layer_weights& w = layers_[layer];
    normalize(step, b.state, b.rows, w.attention_norm, b.normed);
    project(step, b.normed, b.rows, m::width, w.query, m::query_width, b.query, false);
    project(step, b.normed, b.rows, m::width, w.key, m::kv_width, b.key, false);
    project(step, b.normed, b.rows, m::width, w.value, m::kv_width, b.value, false);
    write_cache(plan, rows, b, layer, step);
    attention(plan, rows, b, layer, step);
    project(step, b.attended, b.rows, m::query_width, w.output, m::width, b.state, true);
    feed_forward(b, w, step);
  }
  write_logits(plan, rows, b, step);
  return step.finish();
}

template <class Step>
void decoder::embed(std::span<const row> rows, const buffers& b, Step& step) const {
  step.launch({reads(rows.data(), rows.size()), reads(embedding_, m::vocabulary * m::width),
               writes(b.state, rows.size() * m::width), writes(b.turns, rows.size() * m::head_size)});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(embedding_ + rows[i].token % m::vocabulary * m::width, m::width, b.state + i * m::width);
    angles(rows[i].position, b.turns + i * m::head_size);
  }
}

template <class Step>
void decoder::write_cache(std::span<const row> plan, std::span<const row> rows, const buffers& b, std::size_t layer,
                          Step& step) const {
  if constexpr (Step::is_watched) {
    std::vector<touch>& list = step.list();
    const touch own[] = {step.read_inputs(), reads(b.turns, rows.size() * m::head_size),
                         reads(b.value, rows.size() * m::kv_width), writes(b.query, rows.size() * m::query_width),
                         writes(b.key, rows.size() * m::kv_width)};
    list.assign(std::begin(own), std::end(own));
    for_each_sequence(plan, [&](const kv_view& cache, std::size_t first, std::size_t end) {
      list_cache(list, cache, layer, first, end, touch::write);
    });
    step.launch(list);
  }
  // all keys and values first: a row may look at the rows before it in this very step
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const float* turns = b.turns + i * m::head_size;
    rotate(b.query + i * m::query_width, m::heads, turns);
    rotate(b.key + i * m::kv_width, m::kv_heads, turns);
    for (std::size_t h = 0; h < m::kv_heads; ++h) {
      const std::size_t from = i * m::kv_width + h * m::head_size;
      write_head(*rows[i].cache, {layer, 0, h, rows[i].position}, b.key + from);
      write_head(*rows[i].cache, {layer, 1, h, rows[i].position}, b.value + from);
    }
  }
}

template <class Step>
void decoder::attention(std::span<const row> plan, std::span<const row> rows, const buffers& b, std::size_t layer,
                        Step& step) const {
  if constexpr (Step::is_watched) {
    std::vector<touch>& list = step.list();
    const touch own[] = {step.read_inputs(), reads(b.query, rows.size() * m::query_width),
                         writes(b.attended, rows.size() * m::query_width)};
    list.assign(std::begin(own), std::end(own));
    for (const head_scratch& s : b.heads)
      list.insert(list.end(), {writes(s.partial, 4 * b.longest_padded), writes(s.weight, b.longest_padded)});
    for_each_sequence(plan, [&](const kv_view& cache, std::size_t, std::size_t end) {
      list_cache(list, cache, layer, 0, end, touch::read);
    });
    step.launch(list);
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t h = 0; h < m::kv_heads; ++h) {
      const std::size_t at = i * m::query_width + h * queries_per_head * m::head_size;
      const auto with = [&](const auto& heads) {
        attend(*rows[i].cache, heads, {layer, 0, h}, rows[i].position + 1, b.query + at, b.heads, b.attended + at);
      };
      rows[i].cache->layout.type == kv::dtype::float32 ? with(plain_heads()) : with(packed_heads(*rows[i].cache));
    }
  }
}

template <class Step>
void decoder::feed_forward(const buffers& b, const layer_weights& w, Step& step) const {
  normalize(step, b.state, b.rows, w.feed_norm, b.normed);
  project(step, b.normed, b.rows, m::width, w.gate, m::hidden, b.gate, false);
  project(step, b.normed, b.rows, m::width, w.up, m::hidden, b.up, false);
  step.launch({reads(b.up, b.rows * m::hidden), writes(b.gate, b.rows * m::hidden)});
  gated(b.gate, b.up, b.rows * m::hidden);
  project(step, b.gate, b.rows, m::hidden, w.down, m::width, b.state, true);
}

template <class Step>
void decoder::write_logits(std::span<const row> plan, std::span<const row> rows, const buffers& b, Step& step) const {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (plan[i].logits == nullptr) continue;
    step.launch({reads(rows.data() + i, 1), reads(b.state + i * m::width, m::width), reads(final_norm_, m::width),
                 reads(head_, m::width * m::vocabulary), writes(rows[i].logits, m::vocabulary)});
    // the kernel takes four rows: three copies of the same one are thrown away
    float in[4][m::width];
    float out[4][m::vocabulary];
    rms_norm(b.state + i * m::width, 1, m::width, final_norm_, in[0]);
    for (std::size_t k = 1; k < 4; ++k) std::copy_n(in[0], m::width, in[k]);
    multiply(in[0], 4, m::width, head_, m::vocabulary, out[0], false);
    std::copy_n(out[0], m::vocabulary, rows[i].logits);
  }
}

}  // namespace program
