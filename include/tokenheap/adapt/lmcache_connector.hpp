// LMCache's native storage connector over a tier, so that LMCache keeps its chunks in one of ours.
#pragma once

#include <cerrno>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <sys/eventfd.h>
#include <thread>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <vector>

#include <tokenheap/adapt/offload_key.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// How a connector asks its tier.
struct lmcache_options {
  kv::siphash_key secret{};     ///< the same for all who share the tier
  std::size_t patience = 1000;  ///< how often the tier is asked again while it cannot say; then a key is not there
  bool partial_is_ok =
      false;  ///< reads of which a part missed are `ok`: only for an LMCache that always looks at the mask
};

/// Serves LMCache from a tier: `Interface` is lmcache::connector::IStorageConnector of the program's own headers.
///
/// As in csrc/storage_backends/connector_interface.h 8a72c30: futures, one event file, batches, and a mask of 0 and 1 for
/// every key. Give it to LMCache's pybind macro in place of a connector with workers of its own. One thread owns the tier;
/// submit calls hand it work and return. A chunk is a block: `batch_chunk_num_bytes` is the tier's `block_bytes()`. A read
/// is `ok` if all of its chunks came, and a write if all were stored: the client of LMCache 0.5.6 looks at no mask then
/// (native_clients/connector_client_base.py), while its NativeConnectorL2Adapter takes the mask of a read in any case.
/// Lost: parallel workers, which a tier has no use for. A chunk that missed may have been written to.
///
/// Requires  a tier that outlives it and that nobody else calls until `close`; buffers that live until their completion
/// Fails     as LMCache's own connectors: a completion with `ok` false and a text, or a 0 in its mask; future 0 once closed
/// Threads   safe, as LMCache calls it; no lock is held while the tier works
/// Cost      a hash of each key, one hand-over between threads a batch, and the tier
template <class Interface, kv::tier Tier>
class lmcache_connector final : public Interface {
 public:
  using completions = decltype(std::declval<Interface&>().drain_completions());
  using completion = typename completions::value_type;

  explicit lmcache_connector(Tier& below, const lmcache_options& with = {})
      : below_(&below), with_(with), event_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), worker_([this] { work(); }) {}
  ~lmcache_connector() override { end(); }
  lmcache_connector(const lmcache_connector&) = delete;
  lmcache_connector& operator=(const lmcache_connector&) = delete;

  /// Readable while completions wait; -1 once closed, or if the system gave none.
  int event_fd() const override {
    const std::lock_guard<std::mutex> hold(mutex_);
    return event_;
  }

  std::uint64_t submit_batch_get(const std::vector<std::string>& keys, const std::vector<void*>& bufs,
                                 const std::vector<std::size_t>& lens, std::size_t batch_chunk_num_bytes) override {
    return submit(way::get, keys, &bufs, &lens, batch_chunk_num_bytes);
  }
  std::uint64_t submit_batch_set(const std::vector<std::string>& keys, const std::vector<void*>& bufs,
                                 const std::vector<std::size_t>& lens, std::size_t batch_chunk_num_bytes) override {
    return submit(way::set, keys, &bufs, &lens, batch_chunk_num_bytes);
  }
  std::uint64_t submit_batch_exists(const std::vector<std::string>& keys) override { return submit(way::exists, keys); }
  std::uint64_t submit_batch_delete(const std::vector<std::string>& keys) override { return submit(way::remove, keys); }

  completions drain_completions() override {
    const std::lock_guard<std::mutex> hold(mutex_);
    std::uint64_t count = 0;
    while (event_ >= 0 && ::read(event_, &count, sizeof count) < 0 && errno == EINTR) {
    }
    return std::exchange(done_, completions{});
  }

  /// Ends what is in work, drops what waits, and joins the thread; a second call does nothing.
  void close() override { end(); }

 private:
  enum class way : unsigned char { get, set, exists, remove };
  struct request {
    way going = way::get;
    std::vector<kv::tier_key> names;
    std::vector<kv::tier_span> spans;
    std::vector<kv::tier_answer> said;
    completion answer{};
  };

  std::uint64_t submit(way going, const std::vector<std::string>& keys, const std::vector<void*>* bufs = nullptr,
                       const std::vector<std::size_t>* lens = nullptr, std::size_t chunk = 0) {
    request made;
    made.going = going;
    made.answer.error = why_not(keys, bufs, lens, chunk);
    made.answer.ok = made.answer.error.empty();
    for (std::size_t k = 0; made.answer.ok && k != keys.size(); ++k) {
      made.names.push_back(tier_name(keys[k].data(), keys[k].size(), with_.secret));
      if (bufs != nullptr) made.spans.push_back({(*bufs)[k], (*lens)[k]});
    }
    made.said.resize(made.names.size(), kv::tier_answer::miss);
    made.answer.result_bytes.resize(made.names.size(), 0);
    std::uint64_t future = 0;
    {
      const std::lock_guard<std::mutex> hold(mutex_);
      if (closed_) return 0;
      made.answer.future_id = future = ++futures_;
      waiting_.push_back(std::move(made));
    }
    wake_.notify_one();
    return future;
  }
  template <class... Parts>
  [[nodiscard]] static std::string text(const Parts&... parts) {
    std::string made;
    const auto add = [&](const auto& part) {
      if constexpr (std::is_integral_v<std::decay_t<decltype(part)>>) {
        made += std::to_string(part);
      } else {
        made += part;
      }
    };
    (add(parts), ...);
    return made;
  }
  [[nodiscard]] std::string why_not(const std::vector<std::string>& keys, const std::vector<void*>* bufs,
                                    const std::vector<std::size_t>* lens, std::size_t chunk) const {
    if (keys.empty()) return "no keys";
    if (bufs == nullptr) return {};
    if (bufs->size() != keys.size() || lens->size() != keys.size())
      return text(keys.size(), " keys, ", bufs->size(), " buffers and ", lens->size(),
                  " lengths: give as many of each");
    if (chunk != below_->block_bytes())
      return text("chunks of ", chunk, " bytes in a tier of ", below_->block_bytes(),
                  ": open the tier with the chunk's size");
    return {};
  }

  void work() {
    std::unique_lock<std::mutex> hold(mutex_);
    for (;;) {
      wake_.wait(hold, [this] { return closed_ || !waiting_.empty(); });
      if (closed_) return;
      request next = std::move(waiting_.front());
      waiting_.pop_front();
      hold.unlock();
      if (next.answer.ok) serve(next);
      hold.lock();
      done_.push_back(std::move(next.answer));
      const std::uint64_t one = 1;
      while (event_ >= 0 && ::write(event_, &one, sizeof one) < 0 && errno == EINTR) {
      }
    }
  }
  void serve(request& r) {
    const std::size_t n = r.names.size();
    switch (r.going) {
      case way::get:
        move(below_->prepare_load(r.names.data(), r.spans.data(), n), r);
        break;
      case way::set:
        move(below_->prepare_store(r.names.data(), r.spans.data(), n), r);
        break;
      case way::exists:
        look(r);
        break;
      case way::remove:
        for (std::size_t k = 0; k != n; ++k)
          if (below_->remove(&r.names[k], 1) != 0) r.said[k] = kv::tier_answer::hit;
        break;
    }
    std::size_t hits = 0;
    for (std::size_t k = 0; k != n; ++k) hits += r.answer.result_bytes[k] = r.said[k] == kv::tier_answer::hit ? 1 : 0;
    const bool read = r.going == way::get;
    if (hits == n || !r.answer.ok || !(read ? !with_.partial_is_ok : r.going == way::set)) return;
    r.answer.ok = false;
    r.answer.error = text(n - hits, " of ", n, " chunks ", read ? "are not there" : "were not stored");
  }
  void move(kv::tier_ticket batch, request& r) {
    if (!batch) {
      r.answer.ok = false;
      r.answer.error = text("the tier '", below_->name(), "' refused a batch of ", r.names.size(), " keys");
      return;
    }
    while (!below_->poll(batch)) std::this_thread::yield();
    if (r.going == way::get) {
      below_->complete_load(batch, r.said.data());
    } else {
      below_->complete_store(batch, true, r.said.data());
      // of equal keys the first one answers for all, once it is there
      for (std::size_t k = 0; k != r.said.size(); ++k)
        if (r.said[k] == kv::tier_answer::pending) below_->lookup(&r.names[k], 1, &r.said[k]);
    }
  }
  void look(request& r) {
    below_->lookup(r.names.data(), r.names.size(), r.said.data());
    std::size_t left = with_.patience;
    for (std::size_t k = 0; k != r.said.size(); ++k) {
      for (; r.said[k] == kv::tier_answer::retry && left != 0; --left) {
        std::this_thread::yield();
        below_->lookup(&r.names[k], 1, &r.said[k]);
      }
    }
  }
  void end() {
    {
      const std::lock_guard<std::mutex> hold(mutex_);
      if (std::exchange(closed_, true)) return;
    }
    wake_.notify_one();
    worker_.join();
    const std::lock_guard<std::mutex> hold(mutex_);
    waiting_.clear();
    done_ = {};
    if (event_ >= 0) ::close(event_);
    event_ = -1;
  }

  Tier* below_;
  lmcache_options with_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<request> waiting_;
  completions done_;
  std::uint64_t futures_ = 0;
  bool closed_ = false;
  int event_;
  std::thread worker_;  // last: it begins when all else is there
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
