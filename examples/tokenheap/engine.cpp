#include "engine.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "device_step.hpp"

namespace program {
namespace {

complaint described(const tokenheap::failure& why) {
  char text[320];
  tokenheap::describe(why, text, sizeof text);
  return text;
}

bool earlier(const request_ptr& a, const request_ptr& b) { return a->job < b->job; }

}  // namespace

complaint engine::open() {
  if (!model_.open(weight_memory_, options_.seed)) return "no memory for the weights";
  if (complaint bad = open_device(); !bad.empty()) return bad;
  kv::pool_options amounts{.blocks = options_.blocks, .block_tokens = options_.block_tokens, .name = "kv"};
  amounts.copy = {[](void* self, kv::block_id from, kv::block_id to) noexcept {
                    static_cast<engine*>(self)->copy_block(from, to);
                  }, this};
  amounts.wipe = {[](void* self, const kv::block_id* ids, std::size_t n) noexcept {
                    for (std::size_t at = 0; at < n; ++at) static_cast<engine*>(self)->wipe_block(ids[at]);
                  }, this};
  const kv::layout shape = options_.cache_layout();
  auto made = device_ ? block_pool::open(amounts, shape, device_->keys_and_values())
                      : block_pool::open(amounts, shape, kv_memory_);
  if (device_ && !device_->problem().empty()) return device_->problem();
  if (!made) return described(made.why());
  pool_.emplace(std::move(*made));
  if (!options_.tiers.empty())
    if (complaint bad = tiers_.emplace().open(options_.tiers, shape, options_.seed); !bad.empty()) return bad;
  watermark_blocks_ = static_cast<std::size_t>(options_.watermark * options_.blocks);
  double tokens = 0;
  for (const job& j : work_.jobs()) tokens += j.longest();
  const double span = work_.jobs().back().arrival_ms - work_.jobs().front().arrival_ms;
  ms_per_token_ = span * options_.load / tokens;
  clock_ms_ = work_.jobs().front().arrival_ms;
  return {};
}

complaint engine::open_device() {
  if (options_.device_bytes == 0) return {};
  device_.emplace(options_.device_bytes);
  if (complaint bad = device_->open(options_.max_batch); !bad.empty()) return bad;
  return device_->upload(model_, device_model_);
}

complaint engine::run(const std::function<bool(std::size_t)>& wants_logits,
                      const std::function<void(std::size_t)>& progress) {
  recorded_.resize(work_.jobs().size());
  for (std::size_t n = 0; n < recorded_.size(); ++n)
    if (wants_logits(n)) recorded_[n].reserve(std::size_t{work_.jobs()[n].output_tokens} * model_shape::vocabulary);
  while (arrived_ < work_.jobs().size() || !waiting_.empty() || !running_.empty()) {
    if (complaint bad = arrive(); !bad.empty()) return bad;
    if (complaint bad = admit(); !bad.empty()) return bad;
    if (running_.empty()) continue;
    grow_all();
    if (complaint bad = compute(); !bad.empty()) return bad;
    corrupt();
    count_step();
    finish_done();
    progress(out_.requests + out_.rejected);
  }
  if (complaint bad = check_end(); !bad.empty()) return bad;
  books_ = pool_->stats();
  note_end();
  if (device_) end_device();
  return {};
}

complaint engine::arrive() {
  const std::span<const job> jobs = work_.jobs();
  // nothing to do until somebody comes
  if (waiting_.empty() && running_.empty()) clock_ms_ = std::max(clock_ms_, jobs[arrived_].arrival_ms);
  for (; arrived_ < jobs.size() && jobs[arrived_].arrival_ms <= clock_ms_; ++arrived_) {
    // the last token is never fed back, so it needs no slot
    if (blocks_for(jobs[arrived_].longest() - 1) > options_.blocks) {
      ++out_.rejected;
      note_rejected(arrived_);
      recorded_[arrived_] = {};
      continue;
    }
    // further answers begin where the first one has its prompt computed
    if (jobs[arrived_].sample != 0) continue;
    request_ptr made = open_request(request_memory_, work_, arrived_, options_.cache_layout());
    if (made == nullptr) return "no memory for a request";
    waiting_.push_back(std::move(made));
  }
  return {};
}

complaint engine::admit() {
  while (!waiting_.empty() && running_.size() < options_.max_batch) {
    if (!admit_one(*waiting_.front())) {
      if (!running_.empty()) return {};
      return fmt::format("request {} finds no room in an empty pool", waiting_.front()->job);
    }
    const auto place = std::upper_bound(running_.begin(), running_.end(), waiting_.front(), earlier);
    running_.insert(place, std::move(waiting_.front()));
    waiting_.pop_front();
  }
  out_.most_running = std::max<std::uint64_t>(out_.most_running, running_.size());
  return {};
}

bool engine::admit_one(request& r) {
  const std::size_t cached = pool_->match(r.all_tokens(), key_of(r)) / options_.block_tokens;
  const std::size_t wanted = blocks_for(r.known) - cached + watermark_blocks_;
  // somebody has to run: the first request may use the last block
  if (!running_.empty() && pool_->stats().available() < wanted) return note_put_off(r, wanted), false;
  const job& j = work_.jobs()[r.job];
  const kv::sequence_options with{
      .key = key_of(r), .value = {.again = !options_.hints || j.again}, .expected_tokens = j.longest()};
  auto opened = out_.open.measure([&] { return sequence::open(*pool_, r.all_tokens(), with); });
  if (!opened) return note_put_off(r, wanted), false;
  put_off_ = nullptr;
  r.blocks.emplace(std::move(*opened));
  r.tenant = with.key.tenant;
  r.computed = static_cast<std::uint32_t>(r.blocks->cached_tokens());
  if (tiers_) {
    const std::uint32_t loaded = tiers_->load(r, *pool_) * options_.block_tokens;
    r.computed += loaded;
    out_.tier_hit_tokens += loaded;
    if (loaded != 0) static_cast<void>(r.blocks->publish(r.computed));
  }
  (++r.admissions == 1 ? out_.prefix_hit_tokens : out_.recomputed_hit_tokens) += r.blocks->cached_tokens();
  r.addresses_known = 0;
  r.look_up(*pool_);
  return true;
}

void engine::grow_all() {
  for (std::size_t i = 0; i < running_.size();) {
    request& r = *running_[i];
    const std::span<const std::uint32_t> fresh = r.all_tokens().subspan(r.blocks->length());
    if (fresh.empty() || out_.grow.measure([&] { return r.blocks->append(fresh); }) == tokenheap::errc::ok) {
      r.look_up(*pool_);
      ++i;
      continue;
    }
    // whoever came last makes room, and that may be this one
    preempt_last();
  }
}

void engine::preempt_last() {
  request_ptr last = std::move(running_.back());
  running_.pop_back();
  ++out_.preemptions;
  // what it wrote stays findable until somebody needs the blocks
  static_cast<void>(last->blocks->publish(last->computed));
  note_preempted(*last);
  out_.close.measure([&] { return last->blocks->close(); });
  last->blocks.reset();
  last->computed = 0;
  waiting_.insert(std::upper_bound(waiting_.begin(), waiting_.end(), last, earlier), std::move(last));
}

std::span<row> engine::plan_rows() {
  const std::size_t most = std::max<std::size_t>(options_.step_tokens, running_.size());
  const tokenheap::allocation room = scratch_memory_.allocate(most * sizeof(row), alignof(row));
  if (!room) return {};
  row* const rows = static_cast<row*>(room.data);
  std::size_t planned = 0;
  std::size_t wanted = 0;
  std::size_t others = running_.size();
  for (const request_ptr& r : running_) {
    // everybody gets one token at least; who came first may take what is left of the step
    --others;
    const std::size_t limit = most - planned - others;
    const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(limit, r->known - r->computed));
    float* logits = nullptr;
    if (r->computed + count == r->known) {
      logits = place_for_logits(wanted++);
      if (logits == nullptr) return {};
    }
    for (std::uint32_t k = 0; k < count; ++k) {
      const std::uint32_t at = r->computed + k;
      new (&rows[planned++]) row{r->tokens[at], at, &r->cache, at + 1 == r->known ? logits : nullptr};
    }
  }
  return {rows, planned};
}

float* engine::place_for_logits(std::size_t n) {
  if (device_) return device_->results() + n * model_shape::vocabulary;
  return static_cast<float*>(scratch_memory_.allocate(model_shape::vocabulary * sizeof(float)).data);
}

complaint engine::forward(std::span<const row> rows) {
  if (device_ && !rows.empty()) {
    device_step step(*device_);
    if (device_model_.forward(rows, step)) return {};
    return device_->problem();
  }
  return !rows.empty() && model_.forward(rows, scratch_memory_) ? complaint() : "no memory for the scratch of a step";
}

complaint engine::compute() {
  if (running_.empty()) return {};
  const std::span<const row> rows = plan_rows();
  if (complaint bad = forward(rows); !bad.empty()) return bad;
  std::size_t at = 0;
  for (const request_ptr& r : running_) {
    const row* last = nullptr;
    for (; at < rows.size() && rows[at].cache == &r->cache; ++at) last = &rows[at];
    r->computed = last->position + 1;
    if (r->blocks->publish(r->computed) != tokenheap::errc::ok) return "a sequence refused to publish what was written";
    if (tiers_)
      if (complaint bad = tiers_->store(*r, *pool_); !bad.empty()) return bad;
    if (last->logits == nullptr) continue;
    take_logits(*r, last->logits);
    if (r->generated != 1) continue;
    if (complaint bad = fork(*r, last->logits); !bad.empty()) return bad;
  }
  for (request_ptr& made : forked_)
    running_.insert(std::upper_bound(running_.begin(), running_.end(), made, earlier), std::move(made));
  forked_.clear();
  out_.computed_tokens += rows.size();
  clock_ms_ += static_cast<double>(rows.size()) * ms_per_token_;
  note_scratch();
  scratch_memory_.reset();
  return {};
}

void engine::take_logits(request& r, const float* logits) {
  recorded_logits& kept = recorded_[r.job];
  if (kept.capacity() != 0) kept.insert(kept.end(), logits, logits + model_shape::vocabulary);
  r.tokens[r.known++] = work_.choose(r.job, r.generated++, {logits, model_shape::vocabulary});
}

// every further answer to a prompt shares its blocks; who has no place in the batch waits like anybody else
complaint engine::fork(request& r, const float* logits) {
  const std::span<const job> jobs = work_.jobs();
  if (jobs[r.job].sample != 0) return {};
  for (std::size_t n = r.job + std::size_t{1}; n < jobs.size() && jobs[n].sample != 0; ++n) {
    request_ptr made = open_request(request_memory_, work_, n, options_.cache_layout());
    if (made == nullptr) return "no memory for a request";
    const std::uint32_t computed = made->known;
    take_logits(*made, logits);
    if (made->done()) {
      count_done(*made);
      continue;
    }
    if (running_.size() + forked_.size() >= options_.max_batch) {
      waiting_.insert(std::upper_bound(waiting_.begin(), waiting_.end(), made, earlier), std::move(made));
      continue;
    }
    auto shared = r.blocks->fork();
    if (!shared) return described(shared.why());
    made->blocks.emplace(std::move(*shared));
    made->computed = computed;
    made->admissions = 1;
    made->tenant = r.tenant;
    made->stored = r.stored;
    made->look_up(*pool_);
    ++out_.forks;
    forked_.push_back(std::move(made));
  }
  out_.most_running = std::max<std::uint64_t>(out_.most_running, running_.size() + forked_.size());
  return {};
}

kv::prefix_key engine::key_of(const request& r) const {
  if (options_.tenants == 0) return {};
  return {.tenant = 1 + (r.job - work_.jobs()[r.job].sample) % options_.tenants};
}

void engine::copy_block(kv::block_id from, kv::block_id to) {
  const std::size_t size = pool_->shape().block_bytes();
  const auto* const old = static_cast<const std::byte*>(pool_->data(from));
  auto* const own = static_cast<std::byte*>(pool_->data(to));
  if (device_) device_->launch(std::initializer_list<touch>{reads(old, size), writes(own, size)});
  std::memcpy(own, old, size);
}

void engine::wipe_block(kv::block_id id) {
  const std::size_t size = pool_->shape().block_bytes();
  auto* const bytes = static_cast<std::byte*>(pool_->data(id));
  if (device_) device_->launch(std::initializer_list<touch>{writes(bytes, size)});
  std::memset(bytes, 0, size);
}

void engine::count_done(const request& r) {
  ++out_.requests;
  out_.prompt_tokens += work_.jobs()[r.job].prompt_tokens;
  out_.generated_tokens += r.generated;
}

void engine::finish_done() {
  const auto done = [&](request_ptr& r) {
    if (!r->done()) return false;
    out_.close.measure([&] { return r->blocks->close(); });
    count_done(*r);
    return true;
  };
  std::erase_if(running_, done);
  if (running_.empty()) note_step();
}

void engine::count_step() {
  if (running_.empty()) return;
  ++out_.steps;
  note_step();
  out_.blocks_in_steps += pool_->stats().live;
  for (const request_ptr& r : running_) {
    out_.paged.tokens += r->blocks->length();
    out_.paged.slots += r->blocks->blocks().size() * options_.block_tokens;
    out_.reserved.tokens += r->blocks->length();
    out_.reserved.slots += work_.longest();
  }
}

void engine::corrupt() {
  if (!options_.corrupt || out_.corrupted) return;
  for (const request_ptr& r : running_) {
    // the block must be read again by a request that is checked
    if (r->done() || recorded_[r->job].capacity() == 0) continue;
    const std::span<const kv::block_id> ids = r->blocks->blocks().first(r->computed / options_.block_tokens);
    if (std::find(ids.begin(), ids.end(), *options_.corrupt) == ids.end()) continue;
    const kv::layout shape = options_.cache_layout();
    auto* const bytes = static_cast<std::byte*>(pool_->data(*options_.corrupt));
    // the sign of one number of the first layer's values, or its exponent where the number may well be 0
    const std::size_t first = shape.offset_of({.layer = 0, .plane = 1, .head = 0, .token = 0});
    std::byte& flipped = bytes[first + kv::bytes_of(shape.type) - 1];
    if (device_) device_->launch(std::initializer_list<touch>{writes(&flipped, 1)});
    flipped ^= kv::bits_of(shape.type) == 4 ? std::byte{0x40} : std::byte{0x80};
    out_.corrupted = true;
    return;
  }
}

complaint engine::check_end() const {
  const kv::pool_stats books = pool_->stats();
  if (!pool_->is_valid()) return "the block pool's books are damaged";
  if (tiers_ && !tiers_->is_valid()) return "the books of a tier do not add up";
  if (books.live != 0 || books.free + books.cached != books.total)
    return fmt::format("blocks are lost: {} free, {} cached, {} live of {}", books.free, books.cached, books.live,
                       books.total);
  if (request_memory_.policy<counters>().values().calls.current != 0) return "request objects are lost";
  return {};
}

void engine::end_device() {
  device_->read_books();
  pool_->close();
  device_->close();
}

}  // namespace program
