// An engine: weights in an arena, keys and values in blocks, equal beginnings shared, requests batched and preempted;
// at its end the numbers, a page to look at (its path is the argument), and the proof that no token is another one.

#include <cstdio>
#include <deque>
#include <optional>

#include <tokenheap/observe/file_sink.hpp>
#include <tokenheap/observe/report.hpp>
#include <tokenheap/tokenheap.hpp>

#include "tutorial_blocks.hpp"
using namespace tokenheap;

// [types]
struct weight_memory : layered<host_source, with<hard_limit>, arena<arena_shape{.chunk = 64 * KiB}>, with<counters>> {
  using layered::layered;
};

struct request {
  std::vector<token> tokens;            // the prompt, and what was decided on since
  std::size_t prompt, most;             // tokens at first, and in the end
  std::size_t computed = 0;             // tokens whose keys and values are in place
  std::optional<sequence> blocks = {};  // while it runs
};
// [types]

class engine {
 public:
  engine(const float* weights, pool_type& pool) : weights_(weights), pool_(pool) {}

  // [run]
  void submit(std::vector<token> prompt, std::size_t answers) {
    const std::size_t length = prompt.size();
    waiting_.push_back({std::move(prompt), length, length + answers});
  }
  void run() {
    while (!waiting_.empty() || !running_.empty()) {
      admit();
      for (std::size_t at = 0; at < running_.size();) at = step(at);
      const kv::pool_stats s = pool_.stats();
      times.push_back(static_cast<double>(times.size()));
      live.push_back(static_cast<double>(s.live)), cached.push_back(static_cast<double>(s.cached));
    }
  }
  // [run]

  std::vector<request> done, refused;
  std::vector<report_event> preemptions;
  std::vector<double> times, live, cached;  // a number for each step
  std::size_t computed = 0;                 // tokens that the model read

 private:
  // [admit]
  void admit() {
    for (; !waiting_.empty(); waiting_.pop_front()) {
      request& next = waiting_.front();
      auto opened = sequence::open(pool_, next.tokens, {.expected_tokens = next.most, .fit = kv::admit::whole});
      if (!opened && !running_.empty() && opened.error() == errc::out_of_memory) return;  // until somebody ends
      char line[300];
      if (!opened) {
        describe(opened.why(), line, sizeof line), std::puts(line);
        refused.push_back(std::move(next));
        continue;
      }
      next.computed = opened->cached_tokens();  // what is found is not computed again
      next.blocks = std::move(*opened);
      running_.push_back(std::move(next));
    }
  }
  // [admit]

  // [step]
  // one step of a request: its whole prompt, or one token; returns whose turn is next
  std::size_t step(std::size_t at) {
    request& r = running_[at];
    const allocation scores = scratch_.allocate(r.tokens.size() * sizeof(float));
    if (!scores) return leave(at, refused);
    token next = 0;
    for (; r.computed != r.tokens.size(); ++r.computed, ++computed) {
      float* const room = static_cast<float*>(scores.data);
      next = next_token(weights_, r.tokens[r.computed], r.computed, room, rows_of(pool_, *r.blocks));
    }
    scratch_.reset();
    static_cast<void>(r.blocks->publish(r.computed));  // others may find it from here on
    r.tokens.push_back(next);
    if (r.tokens.size() == r.most) return leave(at, done);
    return make_room(at) ? at + 1 : at;
  }
  // [step]

  // [preempt]
  // a slot for the newest token; whoever came last gives way, in the end the request itself
  bool make_room(std::size_t at) {
    while (running_[at].blocks->append({&running_[at].tokens.back(), 1}) != errc::ok) {
      preemptions.push_back({times.empty() ? 0 : times.back(), "a request", "its blocks were needed, it waits again"});
      if (leave(running_.size() - 1, waiting_) == at) return false;
    }
    return true;
  }
  template <class List>
  std::size_t leave(std::size_t at, List& to) {
    running_[at].blocks.reset();  // its blocks go back; what was published stays cached until the room is needed
    to.insert(to.begin(), std::move(running_[at]));
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(at));
    return at;
  }
  // [preempt]

  const float* weights_;
  pool_type& pool_;
  layered<host_source, arena<>> scratch_;
  std::deque<request> waiting_;
  std::vector<request> running_;
};

// [page]
bool write_page(const engine& e, const char* path) {
  const report_line lines[] = {{"in use", report_tone::blue, e.live}, {"cached", report_tone::aqua, e.cached}};
  const report_series series[] = {{.title = "Blocks", .stacked = true, .times = e.times, .lines = lines}};
  const report_reason reasons[] = {{"preempted", "No block was left.", "more blocks", e.preemptions}};
  std::FILE* const file = std::fopen(path, "wb");
  if (file == nullptr) return false;
  file_sink to(file);
  write_report(memory_report{.title = "The tutorial's engine", .series = series, .reasons = reasons}, to);
  const bool whole = to.status() == errc::ok;
  return std::fclose(file) == 0 && whole;
}
// [page]

int main(int count, char** arguments) {
  // [main]
  weight_memory memory{hard_limit_options{.limit = 1 * MiB}};
  const allocation weights = memory.allocate(weight_count * sizeof(float), 64);
  host_source heap;
  auto pool = pool_type::open({.blocks = 20, .block_tokens = block, .watermark = 1, .name = "tutorial"}, shape, heap);
  if (!weights || !pool) return std::puts("no memory for weights or blocks"), 1;
  make_weights(static_cast<float*>(weights.data));

  engine serving(static_cast<const float*>(weights.data), *pool);
  for (token n = 0; n != 8; ++n) {
    std::vector<token> prompt(26, n);
    for (token t = 0; t != 24; ++t) prompt[t] = t;  // three blocks that all have in common
    serving.submit(std::move(prompt), 16 + 4 * n);
  }
  serving.submit(std::vector<token>(1000, 1), 1);   // will never fit
  serving.run();
  // [main]

  // [check]
  std::size_t alone = 0;  // tokens that a model reads which shares nothing
  for (const request& r : serving.done) {
    const std::vector<token> prompt(r.tokens.begin(), r.tokens.begin() + static_cast<std::ptrdiff_t>(r.prompt));
    if (r.tokens != plain(static_cast<const float*>(weights.data), prompt, r.most - r.prompt)) return 2;
    alone += r.most - 1;
  }
  const kv::pool_stats s = pool->stats();
  std::printf("%zu requests in %zu steps: %zu tokens computed, %zu if each were alone; %zu found, %zu preemptions\n",
              serving.done.size(), serving.times.size(), serving.computed, alone, s.reused_tokens,
              serving.preemptions.size());
  if (count > 1 && !write_page(serving, arguments[1])) return 3;
  const bool all = serving.done.size() == 8 && serving.refused.size() == 1 && s.live == 0 && pool->is_valid();
  return all && s.reused_tokens == 168 && serving.preemptions.size() == 2 && serving.computed == 362 ? 0 : 4;
  // [check]
}
