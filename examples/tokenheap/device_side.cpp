#include "device_side.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include <tokenheap/kv/pool_options.hpp>

namespace program {

tokenheap::allocation device_kv::allocate(std::size_t bytes, std::size_t) noexcept {
  // kernels alone touch keys and values; the allocator's own alignment is above what blocks need
  static_assert(device_side::allocator::shape.granularity >= kv::block_alignment);
  return on->take(on->compute(), bytes, memory_class::kv);
}

void device_kv::deallocate(tokenheap::allocation a) noexcept { on->give(a); }

complaint device_side::open(std::size_t results) {
  out_.capacity = machine_.options().capacity;
  allocator_.emplace(device_, tokenheap::caching_options{.name = "sim"});
  const auto owner = allocator_->add_owner({.name = "steps"});
  if (!owner) return "no memory for the books of the device";
  step_owner_ = *owner;
  is_well(device_.create_stream_nonblocking(compute_), "a stream");
  is_well(device_.create_stream_nonblocking(copies_), "a stream");
  for (tokenheap::sim_event* e : {&copied_, &computed_, &fetched_, &staged_[0].sent, &staged_[1].sent})
    if (is_well(device_.create_event(*e), "an event")) events_.push_back(*e);
  is_well(device_.allocate_pinned(results * model_shape::vocabulary * sizeof(float), results_), "pinned memory");
  return problem_;
}

complaint device_side::upload(const decoder& host, decoder& there) {
  there = host;
  there.for_each_tensor([&](float*& at, std::size_t count) {
    const std::size_t bytes = count * sizeof(float);
    const tokenheap::allocation piece = take(copies_, bytes, memory_class::weights);
    if (piece) weights_.push_back(piece);
    std::byte* const room = problem_.empty() ? stage(bytes) : nullptr;
    if (room == nullptr) return;
    std::memcpy(room, at, bytes);
    at = static_cast<float*>(piece.data);
    send(at, bytes);
  });
  compute_after_copies();
  return problem_;
}

tokenheap::allocation device_side::take(stream s, std::size_t bytes, memory_class of) {
  const bool of_a_step = of == memory_class::activations || of == memory_class::scratch;
  const tokenheap::device_request wanted{.bytes = bytes, .of = of, .owner = of_a_step ? step_owner_ : std::uint16_t{0}};
  tokenheap::shortage why;
  const tokenheap::allocation a = allocator_->allocate(s, wanted, &why);
  if (watched_) look();
  if (a || !problem_.empty()) return a;
  char text[512];
  tokenheap::describe(why, text, sizeof text);
  problem_ = text;
  return a;
}

void device_side::look() {
  const std::size_t of_steps = allocator_->owner(step_owner_).current;
  step_peak_ = std::max(step_peak_, of_steps);
  const std::size_t out = of_steps + held(memory_class::weights) + held(memory_class::kv);
  if (out <= most_out_) return;
  most_out_ = out;
  fullest_.clear();
  std::size_t first = 0;  // of the segment at hand
  std::uint32_t segments = 0;
  allocator_->for_each_piece([&](const tokenheap::device_segment& segment, std::size_t at, std::size_t bytes, auto state) {
    if (segment.address != first) ++segments;
    first = segment.address;
    fullest_.push_back({segments - 1, at - first, bytes, static_cast<std::uint8_t>(state)});
  });
}

void device_side::give(tokenheap::allocation a, stream used_by) {
  if (!a) return;
  if (allocator_->record_stream(a, used_by) != tokenheap::errc::ok && problem_.empty())
    problem_ = "the use of a piece on a second stream could not be noted";
  allocator_->deallocate(a);
}

std::byte* device_side::stage(std::size_t bytes) {
  turn_ = (turn_ + 1) % staged_.size();
  staging& s = staged_[turn_];
  // the copy that was sent from here two turns ago may still read it
  if (!is_well(device_.synchronize_event(s.sent), "a wait for a copy") || !make_room(s, bytes)) return nullptr;
  return static_cast<std::byte*>(s.pinned);
}

bool device_side::make_room(staging& s, std::size_t bytes) {
  if (s.bytes >= bytes) return true;
  const std::size_t more = std::max(bytes, 2 * s.bytes);
  void* larger = nullptr;
  if (!is_well(device_.allocate_pinned(more, larger), "pinned memory")) return false;
  is_well(device_.deallocate_pinned(s.pinned), "pinned memory, given back");
  s.pinned = larger;
  s.bytes = more;
  return true;
}

bool device_side::send(void* to, std::size_t bytes) {
  const staging& s = staged_[turn_];
  machine_.host_writes(s.pinned, bytes);
  return is_well(device_.copy(to, s.pinned, bytes, copies_), "a copy to the device") &&
         is_well(device_.record(s.sent, copies_), "an event");
}

bool device_side::fetch(const void* from, std::size_t bytes) {
  return is_well(device_.record(computed_, compute_), "an event") &&
         is_well(device_.wait(copies_, computed_), "a wait for kernels") &&
         is_well(device_.copy(results_, from, bytes, copies_), "a copy to the host") &&
         is_well(device_.record(fetched_, copies_), "an event");
}

bool device_side::arrive(std::size_t bytes) {
  if (!is_well(device_.synchronize_event(fetched_), "a wait for a copy")) return false;
  machine_.host_reads(results_, bytes);
  return true;
}

bool device_side::compute_after_copies() {
  return is_well(device_.record(copied_, copies_), "an event") &&
         is_well(device_.wait(compute_, copied_), "a wait for copies");
}

bool device_side::launch(std::span<const tokenheap::sim_access> touches) {
  return is_well(device_.launch(compute_, touches.data(), touches.size()), "a kernel");
}

bool device_side::is_well(tokenheap::device_status status, const char* what) {
  if (!status && problem_.empty()) problem_ = fmt::format("device sim: {}: {}", what, device_.to_text(status));
  return bool{status};
}

void device_side::read_books() {
  tokenheap::device_stats& now = out_.memory = allocator_->stats();
  const std::size_t all = now.all.allocated_bytes.current + now.pending_bytes + now.cached_bytes;
  out_.books_hold = allocator_->is_valid() && all == now.all.reserved_bytes.current;
  const auto held = [&](std::uint16_t owner) {
    const tokenheap::owner_stats o = allocator_->owner(owner);
    return owned_bytes{o.current, o.peak};
  };
  out_.weights = held(static_cast<std::uint16_t>(memory_class::weights));
  out_.keys_and_values = held(static_cast<std::uint16_t>(memory_class::kv));
  out_.scratch = held(step_owner_);
}

void device_side::close() {
  if (!allocator_) return;
  is_well(device_.synchronize(), "a wait for the device");
  for (const tokenheap::allocation a : weights_) allocator_->deallocate(a);
  weights_.clear();
  allocator_.reset();
  for (staging& s : staged_) is_well(device_.deallocate_pinned(s.pinned), "pinned memory, given back");
  is_well(device_.deallocate_pinned(results_), "pinned memory, given back");
  for (const tokenheap::sim_event e : events_) is_well(device_.destroy_event(e), "the end of an event");
  for (const stream s : {compute_, copies_})
    if (s.id != 0) is_well(device_.destroy_stream(s), "the end of a stream");
  constexpr std::size_t told = 5;
  out_.violations = machine_.violations();
  for (std::size_t i = 0; i < std::min(out_.violations, told); ++i) {
    char text[256];
    machine_.describe(i, text, sizeof text);
    out_.findings.emplace_back(text);
  }
  for (unsigned k = 0; k < tokenheap::sim_calls; ++k) out_.calls[k] = machine_.calls(static_cast<tokenheap::sim_call>(k));
  out_.device_calls = machine_.device_calls();
  out_.used_peak = machine_.peak_used();
  out_.is_clean = machine_.is_clean();
}

}  // namespace program
