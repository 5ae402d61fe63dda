// The tier on a disk: one file of equal slots that survives the process, a crash, and whatever happens to its bytes.
#pragma once

#include <cstdlib>

#include <sys/random.h>

#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/file_io.hpp>
#include <tokenheap/kv/tier_books.hpp>
#include <tokenheap/kv/tier_record.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// How much of a file is read when it is opened.
enum class file_scan : unsigned char {
  whole,    ///< every byte: only whole records are hits
  headers,  ///< 64 bytes a slot: quick, and a damaged payload is found when it is loaded
};

/// Where a file tier is, how large it may become, and the secret under its checksums.
struct file_tier_options {
  const char* path = "";
  std::size_t block_bytes = 0;
  std::size_t max_bytes = 0;  ///< of the file, with everything
  std::size_t high = 0;       ///< blocks from which eviction begins; 0: when the file is full
  std::size_t low = 0;
  siphash_key key{};     ///< a secret, the same at each opening: forgery is found too; without it damage alone, and quicker
  bool durable = false;  ///< fdatasync for each batch of stores: then they survive a loss of power too
  file_scan scan = file_scan::whole;
  std::size_t batches = 64;
  const char* name = "file";
};

/// Keeps blocks in one file, and serves from it, whatever became of it, only bytes that are provably a block's own.
///
/// Each slot is a `tier_record` and its payload, written by one call over the slot of a block that left. There is no
/// index in the file: opening reads it and keeps what is whole, so a process that dies at any point costs at most the
/// records that it was writing. A file of another program is refused and left alone; one of another key or block size
/// that is ours is begun afresh. One process has the file at a time.
///
/// With `file_calls` the work is done in the thread that asks, and a batch is over when prepare returns. With calls that
/// queue (`file_ring.hpp`) it is on its way then, and poll goes on with it; checksums are the caller's work in any case.
///
/// Requires  no batch in flight when it ends
/// Fails     open says why; later trouble is a miss (reads) or refuses the store (writes), and the tier goes on
/// Threads   not safe
/// Cost      one read or write and one checksum a block
template <file_io Calls = file_calls, tier_order Order = tier_lru>
class file_tier {
 public:
  using options = file_tier_options;

  [[nodiscard]] static result<file_tier> open(const options& with, Calls&& calls = Calls{}) noexcept {
    file_tier made(with, static_cast<Calls&&>(calls));
    if (with.block_bytes == 0 || with.block_bytes > max_allocation - 2 * page)
      return made.refuse(errc::invalid_argument, with.block_bytes, "give block_bytes");
    made.sum_ = with.key.low == 0 && with.key.high == 0 ? record_sum::xxh3 : record_sum::siphash;
    made.slot_bytes_ = align_up(with.block_bytes + sizeof(tier_record), page);
    const std::size_t slots = with.max_bytes < page ? 0 : (with.max_bytes - page) / made.slot_bytes_;
    if (slots == 0 || slots > max_slots)
      return made.refuse(errc::limit_reached, made.slot_bytes_ + page, "set max_bytes to hold 1 to 2^30 - 2 blocks");
    if (!made.books_.open({.blocks = slots, .high = with.high, .low = with.low}) || !made.flights_.open(with.batches) ||
        !made.scratch_.open(with.block_bytes))
      return made.refuse(errc::out_of_memory, slots, "free memory for the books, or lower max_bytes");
    const failure wrong = made.attach(slots);
    if (wrong.code != errc::ok) return wrong;
    return made;
  }
  file_tier(file_tier&& other) noexcept
      : with_(other.with_), fd_(other.fd_), key_(other.key_), sum_(other.sum_), slot_bytes_(other.slot_bytes_),
        sequence_(other.sequence_), damaged_(other.damaged_), scratch_(static_cast<column<unsigned char>&&>(other.scratch_)),
        books_(static_cast<tier_books<Order>&&>(other.books_)), flights_(static_cast<flights&&>(other.flights_)),
        calls_(static_cast<Calls&&>(other.calls_)) {
    other.fd_ = -1;
  }
  file_tier& operator=(file_tier&&) = delete;
  ~file_tier() {
    if (fd_ >= 0) calls_.close(fd_);
  }

  std::size_t lookup(const tier_key* keys, std::size_t n, tier_answer* out) noexcept {
    std::size_t hits = 0;
    for (std::size_t k = 0; k != n; ++k) hits += (out[k] = books_.lookup(keys[k])) == tier_answer::hit;
    return hits;
  }

  /// Reads each block and its header into the span, and checks them; after a miss the span holds anything.
  [[nodiscard]] tier_ticket prepare_load(const tier_key* keys, const tier_span* to, std::size_t n) noexcept {
    const tier_ticket made = flights_.start(flights::way::load, n);
    batch* const b = flights_.find(made);
    if (b == nullptr) return {};
    for (std::size_t k = 0; k != n; ++k) {
      item& it = b->items[k];
      it = {};
      if (to[k].bytes != with_.block_bytes || to[k].address == nullptr) {
        books_.refuse_load();
        continue;
      }
      it.slot = books_.begin_load(keys[k]);
      if (it.slot != no_slot) begin(it, to[k], file_move::way::read);
    }
    (void)is_over(*b);
    return made;
  }
  std::size_t complete_load(tier_ticket which, tier_answer* out) noexcept {
    batch* const b = flights_.find(which, flights::way::load);
    if (b == nullptr || !is_over(*b)) return 0;
    std::size_t hits = 0;
    for (std::size_t k = 0; k != b->count; ++k) {
      const item& it = b->items[k];
      const bool loaded = it.answer == tier_answer::hit;
      // what cannot be read once is not tried again: its slot is worth more than the chance
      if (it.slot != no_slot) books_.end_load(it.slot, loaded, loaded);
      out[k] = it.answer;
      hits += loaded;
    }
    flights_.end(*b);
    return hits;
  }

  [[nodiscard]] tier_ticket prepare_store(const tier_key* keys, const tier_span* from, std::size_t n) noexcept {
    const tier_ticket made = flights_.start(flights::way::store, n);
    batch* const b = flights_.find(made);
    if (b == nullptr) return {};
    for (std::size_t k = 0; k != n; ++k) {
      item& it = b->items[k];
      it = {};
      if (from[k].bytes != with_.block_bytes || from[k].address == nullptr) {
        books_.refuse_store();
        continue;
      }
      it.slot = books_.begin_store(keys[k], it.answer);
      if (it.slot == no_slot) {
        if (it.answer == tier_answer::hit && books_.hold(books_.find(keys[k]))) it.held = books_.find(keys[k]);
        continue;
      }
      it.header = seal(key_, keys[k], from[k].address, with_.block_bytes, ++sequence_, sum_);
      begin(it, from[k], file_move::way::write);
    }
    (void)is_over(*b);
    return made;
  }
  std::size_t complete_store(tier_ticket which, bool keep, tier_answer* out) noexcept {
    batch* const b = flights_.find(which, flights::way::store);
    if (b == nullptr || !is_over(*b)) return 0;
    std::size_t hits = 0;
    for (std::size_t k = 0; k != b->count; ++k) {
      item& it = b->items[k];
      if (it.slot != no_slot) {
        if (!keep) it.answer = tier_answer::miss;
        if (it.answer != tier_answer::hit) erase(it.slot);
        books_.end_store(it.slot, it.answer == tier_answer::hit);
      }
      if (it.held != no_slot) books_.let_go(it.held);
      out[k] = it.answer;
      hits += it.answer == tier_answer::hit;
    }
    flights_.end(*b);
    return hits;
  }

  [[nodiscard]] bool poll(tier_ticket which) noexcept {
    batch* const b = flights_.find(which);
    return b == nullptr || is_over(*b);
  }
  /// Forgets blocks, and takes their headers out of the file, so that opening does not find them again.
  std::size_t remove(const tier_key* keys, std::size_t n) noexcept {
    std::size_t gone = 0;
    for (std::size_t k = 0; k != n; ++k) {
      const tier_slot slot = books_.remove(keys[k]);
      if (slot == no_slot) continue;
      erase(slot);
      ++gone;
    }
    return gone;
  }

  [[nodiscard]] std::size_t block_bytes() const noexcept { return with_.block_bytes; }
  [[nodiscard]] tier_stats stats() const noexcept { return books_.stats(); }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }
  [[nodiscard]] bool is_valid() const noexcept { return books_.is_valid(); }
  /// Slots that were written and held no whole record when the file was opened.
  [[nodiscard]] std::size_t damaged_at_open() const noexcept { return damaged_; }
  /// What stands for the kernel: a ring says here whether it has one.
  [[nodiscard]] const Calls& calls() const noexcept { return calls_; }

 private:
  static constexpr std::size_t page = 4 * KiB;
  static constexpr std::size_t max_slots = (std::size_t{1} << 30) - 2;
  static constexpr std::uint64_t our_magic = 0x3176454C49464854;  // "THFILEv1"

  struct item {
    tier_slot slot = no_slot;
    tier_answer answer = tier_answer::miss;
    tier_slot held = no_slot;
    file_move move{.is = file_move::state::idle};
    tier_record header{};
  };
  // of a batch: the sync after its writes, and that nothing of it is on its way any more
  struct ending {
    file_move sync{.going = file_move::way::sync};
    bool is_over = false;
  };
  using flights = tier_flights<item, ending>;
  using batch = typename flights::batch;

  // the first page of the file
  struct front {
    std::uint64_t magic;
    std::uint64_t block_bytes;
    std::uint64_t slot_bytes;
    std::uint64_t nonce[2];
    std::uint64_t sum[2];
  };
  struct found {
    std::uint64_t written;  // not `sequence`: clang 14 takes that, before a <, for the template of that name
    tier_key key;
    tier_slot slot;

    [[nodiscard]] static int compare(const void* a, const void* b) noexcept {
      const std::uint64_t first = static_cast<const found*>(a)->written;
      const std::uint64_t second = static_cast<const found*>(b)->written;
      return first < second ? -1 : first > second;
    }
  };

  file_tier(const options& with, Calls&& calls) noexcept : with_(with), calls_(static_cast<Calls&&>(calls)) {}

  [[nodiscard]] failure refuse(errc code, std::size_t need, const char* fix) const noexcept {
    return {.code = code, .pool = with_.name, .what = "bytes of a file tier", .need = need, .limit = with_.max_bytes, .fix = fix};
  }
  [[nodiscard]] std::uint64_t place(tier_slot slot) const noexcept { return page + std::uint64_t{slot} * slot_bytes_; }

  [[nodiscard]] failure attach(std::size_t slots) noexcept {
    int error = 0;
    std::uint64_t bytes = 0;
    fd_ = calls_.open(with_.path, error);
    if (fd_ < 0) return refuse(errc::system_refused, 0, "name a file in a folder that this user can write");
    if (!calls_.lock(fd_)) return refuse(errc::in_use, 0, "give each process a file of its own");
    if (!calls_.size(fd_, bytes)) return refuse(errc::invalid_argument, 0, "name a regular file");
    front seen{};
    const std::uint64_t magic_bytes = bytes < 8 ? bytes : 8;
    const bool readable = move_all<false>(calls_, fd_, {&seen, bytes < sizeof seen ? bytes : sizeof seen}, {}, 0);
    if (!readable) return refuse(errc::system_refused, bytes, "the file cannot be read: remove it, or name another");
    if (std::memcmp(&seen, &our_magic, magic_bytes) != 0)
      return refuse(errc::invalid_argument, bytes, "this is a file of another kind: name another path");
    if (bytes >= page && is_ours(seen)) return scan(slots, bytes), failure{};
    return begin();
  }
  [[nodiscard]] bool is_ours(const front& seen) noexcept {
    const hash128 sum = siphash(with_.key, &seen, offsetof(front, sum));
    key_ = {with_.key.low ^ seen.nonce[0], with_.key.high ^ seen.nonce[1]};
    return seen.block_bytes == with_.block_bytes && seen.slot_bytes == slot_bytes_ && sum.low == seen.sum[0] &&
           sum.high == seen.sum[1];
  }
  /// An empty file with a fresh key: records of before can never be taken for new ones.
  [[nodiscard]] failure begin() noexcept {
    front fresh{our_magic, with_.block_bytes, slot_bytes_, {}, {}};
    if (::getrandom(fresh.nonce, sizeof fresh.nonce, 0) != static_cast<ssize_t>(sizeof fresh.nonce))
      return refuse(errc::system_refused, sizeof fresh.nonce, "the system gives no random bytes yet: open later");
    const hash128 sum = siphash(with_.key, &fresh, offsetof(front, sum));
    fresh.sum[0] = sum.low;
    fresh.sum[1] = sum.high;
    key_ = {with_.key.low ^ fresh.nonce[0], with_.key.high ^ fresh.nonce[1]};
    unsigned char first[page] = {};
    std::memcpy(first, &fresh, sizeof fresh);
    if (!calls_.truncate(fd_, 0) || !move_all<true>(calls_, fd_, {first, page}, {}, 0))
      return refuse(errc::system_refused, page, "the disk is full or the file cannot be written");
    return {};
  }

  void scan(std::size_t slots, std::uint64_t bytes) noexcept {
    const std::uint64_t fit = divide_up(bytes - page, slot_bytes_);
    const std::size_t last = fit < slots ? static_cast<std::size_t>(fit) : slots;
    column<found> all;
    std::size_t n = 0;
    if (last == 0 || !all.open(last)) return;
    for (std::size_t k = 0; k != last; ++k) {
      const tier_slot slot = static_cast<tier_slot>(k);
      tier_record header;
      const std::size_t payload = with_.scan == file_scan::whole ? with_.block_bytes : 0;
      const bool read = move_all<false>(calls_, fd_, {&header, sizeof header}, {scratch_.first(), payload}, place(slot));
      const bool good = read && header.is_plausible(with_.block_bytes, sum_) &&
                        (payload == 0 || is_whole(key_, header, scratch_.first(), payload, sum_));
      if (good) {
        all[n++] = {header.sequence, header.key(), slot};
      } else {
        damaged_ += !read || header.magic != 0;
      }
    }
    if (n != 0) std::qsort(all.first(), n, sizeof(found), &found::compare);
    books_.begin_recovery();
    for (std::size_t k = 0; k != n; ++k) {
      tier_slot displaced = no_slot;
      books_.recover(all[k].slot, all[k].key, displaced);
      if (displaced != no_slot) erase(displaced);
    }
    books_.settle();
    sequence_ = n == 0 ? 0 : all[n - 1].written;
  }

  void start(file_move& move) noexcept {
    if constexpr (queues_file_moves<Calls>)
      (void)calls_.start(fd_, move);  // without room it waits: the next look at the batch tries again
    else
      finish_move(calls_, fd_, move);
  }
  void begin(item& it, const tier_span& block, file_move::way going) noexcept {
    it.move = file_move{.first = {&it.header, sizeof it.header}, .second = block, .at = place(it.slot), .going = going};
    start(it.move);
    if (it.move.is_over()) settle(it);  // while the block is in the cache of the CPU
  }
  /// The answer of an item whose bytes have moved, or have not.
  void settle(item& it) noexcept {
    bool good = it.move.is == file_move::state::done;
    if (good && it.move.going == file_move::way::read)
      good = it.header.key() == books_.key_of(it.slot) &&
             is_whole(key_, it.header, it.move.second.address, with_.block_bytes, sum_);
    it.answer = good ? tier_answer::hit : tier_answer::miss;
    it.move.is = file_move::state::idle;
  }
  /// Goes on with a batch; true when nothing of it is on its way any more.
  [[nodiscard]] bool is_over(batch& b) noexcept {
    if (b.more.is_over) return true;
    for (std::size_t k = 0; k != b.count; ++k)
      if (b.items[k].move.is == file_move::state::waiting) start(b.items[k].move);
    if constexpr (queues_file_moves<Calls>) calls_.reap(fd_);
    bool runs = false;
    for (std::size_t k = 0; k != b.count; ++k) {
      item& it = b.items[k];
      if (!it.move.is_over()) runs = true;
      else if (it.move.is != file_move::state::idle) settle(it);
    }
    const bool syncs = with_.durable && b.going == flights::way::store;
    if (runs || (syncs && !is_synced(b))) return false;
    b.more.is_over = true;
    return true;
  }
  /// True when the writes of a batch are on the disk, or were refused for not getting there.
  [[nodiscard]] bool is_synced(batch& b) noexcept {
    file_move& sync = b.more.sync;
    if (sync.is == file_move::state::waiting) start(sync);
    if constexpr (queues_file_moves<Calls>) calls_.reap(fd_);
    if (!sync.is_over()) return false;
    for (std::size_t k = 0; sync.is == file_move::state::failed && k != b.count; ++k)
      if (b.items[k].slot != no_slot) b.items[k].answer = tier_answer::miss;
    return true;
  }
  // if even this fails, the slot holds a torn record, or a whole one of bytes that are its name's: neither is ever wrong
  void erase(tier_slot slot) noexcept {
    unsigned char nothing[sizeof(tier_record)] = {};
    (void)move_all<true>(calls_, fd_, {nothing, sizeof nothing}, {}, place(slot));
  }

  options with_;
  int fd_ = -1;
  siphash_key key_{};
  record_sum sum_ = record_sum::siphash;
  std::size_t slot_bytes_ = 0;
  std::uint64_t sequence_ = 0;
  std::size_t damaged_ = 0;
  column<unsigned char> scratch_;
  tier_books<Order> books_;
  flights flights_;
  Calls calls_;  // the last: it ends before the rows that it may still move bytes to
};

static_assert(tier<file_tier<>>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
