#include <tokenheap/adapt/engine_cache.hpp>

#include <support/catch.hpp>

#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include <kv/kit.hpp>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

using numbers = std::vector<std::int64_t>;
using bytes = std::vector<unsigned char>;

constexpr kv::layout model{.layers = 3, .kv_heads = 2, .head_size = 16, .type = kv::dtype::float16, .block_tokens = 4};
constexpr std::size_t blocks = 9;

struct shaped {
  const char* axes;
  numbers shape;
};

/// Memory of an engine that begins at a multiple of 256 bytes, or 16 bytes behind one.
struct engine {
  std::vector<std::vector<std::uint64_t>> memory;
  std::vector<engine_tensor> tensors;

  explicit engine(const shaped& of, bool aligned = true) {
    std::size_t all = 2;
    for (const std::int64_t n : of.shape) all *= static_cast<std::size_t>(n);
    for (std::size_t t = 0; t != tensors_of(model, of.axes); ++t) memory.emplace_back((all + 512) / 8 + 1);
    for (auto& m : memory) {
      const std::uintptr_t at = address_of(m.data()), first = align_up(at, 256) + (aligned ? 0 : 16);
      tensors.push_back({.data = offset(m.data(), first - at), .bytes = all, .axes = of.axes, .shape = of.shape});
    }
  }
};

const shaped across{"BLKNHD", {blocks, 3, 2, 4, 2, 16}}, flash{"KBNHD", {2, blocks, 4, 2, 16}},
    flashinfer{"BKHND", {blocks, 2, 2, 4, 16}}, apart{"BNHD", {blocks, 4, 2, 16}};

/// The bytes that belong to an element of a block.
std::uint64_t mark(kv::block_id id, std::size_t layer, std::size_t plane, std::size_t head, std::size_t token) {
  return (((std::uint64_t{id} * 31 + layer) * 31 + plane) * 31 + head) * 31 + token + 1;
}
template <class Visit>
void each_element(Visit visit) {
  for (std::size_t layer = 0; layer != 3; ++layer)
    for (std::size_t plane = 0; plane != 2; ++plane)
      for (std::size_t head = 0; head != 2; ++head)
        for (std::size_t token = 0; token != 4; ++token) visit(kv::element{layer, plane, head, token});
}
void fill(const engine_cache& c, kv::block_id id, kv::block_id as) {
  each_element([&](const kv::element& e) {
    const std::uint64_t bits[4] = {mark(as, e.layer, e.plane, e.head, e.token), 2, 3, 4};
    std::memcpy(c.at(id, e), bits, 32);
  });
}
std::size_t wrong(const engine_cache& c, kv::block_id id, kv::block_id as) {
  std::size_t count = 0;
  each_element([&](const kv::element& e) {
    std::uint64_t bits[4];
    std::memcpy(bits, c.at(id, e), 32);
    count += bits[0] != mark(as, e.layer, e.plane, e.head, e.token) || bits[3] != 4;
  });
  return count;
}

}  // namespace

TEST_CASE("a pool over an engine's tensors copies a shared tail wherever its pieces are") {
  const shaped of = GENERATE(across, flash, flashinfer, apart);
  CAPTURE(of.axes);
  engine e(of);
  auto cache = engine_cache::open({.cpu_accessible = true, .name = "engine"}, model, e.tensors);
  REQUIRE(cache);
  CHECK(cache->blocks() == blocks);
  auto pool = cache->open_pool({.null_block = true, .name = "wrapped"});
  REQUIRE(pool);
  CHECK(pool->stats().total == blocks - 1);
  CHECK(pool->block_tokens() == 4);
  for (kv::block_id id = 0; id != blocks; ++id) fill(*cache, id, id);
  for (kv::block_id id = 0; id != blocks; ++id) CHECK(wrong(*cache, id, id) == 0);  // nothing lies over anything else

  auto first = kit::opened(*pool, kit::count_up(6));
  auto second = first.fork();
  REQUIRE(second);
  const kv::block_id shared = first.blocks()[1];
  const kv::token next[] = {7};
  REQUIRE(second->append(next) == errc::ok);
  const kv::block_id own = second->blocks()[1];
  REQUIRE(own != shared);
  CHECK(wrong(*cache, own, shared) == 0);
  for (kv::block_id id = 0; id != blocks; ++id)
    if (id != own) CHECK(wrong(*cache, id, id) == 0);
}

TEST_CASE("the pool knows the memory of blocks of one piece that are aligned, and of no others") {
  const bool aligned = GENERATE(true, false);
  engine e(across, aligned), f(flash, aligned);
  auto cache = engine_cache::open({.cpu_accessible = true}, model, e.tensors);
  auto pieces = engine_cache::open({.cpu_accessible = true}, model, f.tensors);
  REQUIRE(cache);
  REQUIRE(pieces);
  auto pool = cache->open_pool();
  auto ids = pieces->open_pool();
  REQUIRE(pool);
  REQUIRE(ids);
  CHECK(pool->data(3) == (aligned ? cache->at(3) : nullptr));
  CHECK(ids->data(3) == nullptr);
  CHECK(pool->stats().total == blocks);
}

TEST_CASE("a policy that scrubs wipes all pieces of a block and no other byte") {
  struct wiped : kv::default_policy {
    using scrub = kv::scrub<kv::scrub_when::free>;
  };
  const shaped of = GENERATE(across, flash, apart);
  engine e(of, false);
  auto cache = engine_cache::open({.cpu_accessible = true}, model, e.tensors);
  REQUIRE(cache);
  auto pool = cache->open_pool<wiped>({.cache = false});
  REQUIRE(pool);
  for (kv::block_id id = 0; id != blocks; ++id) fill(*cache, id, id);
  kv::block_id id = kv::no_block;
  {
    auto held = pool->allocate();
    REQUIRE(held);
    id = held.id();
  }
  bytes packed(cache->shape().block_bytes(), 1);
  REQUIRE(cache->copy_out(id, packed.data()));
  CHECK(packed == bytes(packed.size(), 0));
  for (kv::block_id other = 0; other != blocks; ++other)
    if (other != id) CHECK(wrong(*cache, other, other) == 0);
}

TEST_CASE("a block packs to the same bytes from any tensors, and unpacks into any other") {
  engine a(across), b(flash), c(apart);
  auto from = engine_cache::open({.cpu_accessible = true}, model, a.tensors);
  auto to = engine_cache::open({.cpu_accessible = true}, model, b.tensors);
  auto third = engine_cache::open({.cpu_accessible = true}, model, c.tensors);
  fill(*from, 4, 4);
  bytes packed(model.block_bytes()), again(model.block_bytes());
  REQUIRE(from->copy_out(4, packed.data()));
  REQUIRE(to->copy_in(7, packed.data()));
  CHECK(wrong(*to, 7, 4) == 0);
  REQUIRE(to->copy_out(7, again.data()));
  CHECK(packed == again);
  REQUIRE(third->copy_in(0, again.data()));
  CHECK(wrong(*third, 0, 4) == 0);
  std::size_t pieces[3] = {}, seen = 0;
  for (const engine_cache* each : {&*from, &*to, &*third}) {
    std::size_t all = 0;
    each->each_piece(2, [&](void*, std::size_t n) { ++pieces[seen], all += n; });
    CHECK(all == model.block_bytes());
    ++seen;
  }
  CHECK(pieces[0] == 1);
  CHECK(pieces[1] == 6);
  CHECK(pieces[2] == 6);
  engine d(flashinfer);
  auto joined = engine_cache::open({.cpu_accessible = true}, model, d.tensors);
  std::size_t count = 0;
  joined->each_piece(2, [&](void*, std::size_t) { ++count; });
  CHECK(count == 3);
}

TEST_CASE("what the CPU cannot reach moves by the engine's own functions, or not at all") {
  struct log {
    std::size_t copies = 0, copied = 0, wipes = 0;
  } seen;
  const engine_bytes own{[](void* user, void* to, const void* from, std::size_t n) noexcept {
                           std::memcpy(to, from, n);
                           ++static_cast<log*>(user)->copies;
                           static_cast<log*>(user)->copied += n;
                         },
                         [](void* user, void* at, std::size_t n) noexcept {
                           std::memset(at, 0, n);
                           ++static_cast<log*>(user)->wipes;
                         },
                         &seen};
  engine e(flash), blind(flash);
  auto cache = engine_cache::open({.bytes = own}, model, e.tensors);
  auto dark = engine_cache::open({}, model, blind.tensors);
  REQUIRE(cache);
  REQUIRE(dark);
  const auto fork_of = [](engine_cache& c) {
    auto pool = c.open_pool();
    auto first = kit::opened(*pool, kit::count_up(6));
    auto second = first.fork();
    const kv::token next[] = {7};
    return second->append(next);
  };
  CHECK(fork_of(*cache) == errc::ok);
  CHECK(seen.copies == 6);
  CHECK(seen.copied == model.block_bytes());
  CHECK(fork_of(*dark) == errc::unsupported);
  bytes packed(model.block_bytes());
  CHECK_FALSE(dark->copy_out(0, packed.data()));
  CHECK_FALSE(dark->copy_in(0, packed.data()));
  struct wiped : kv::default_policy {
    using scrub = kv::scrub<kv::scrub_when::free>;
  };
  CHECK(dark->open_pool<wiped>().error() == errc::unsupported);
  {
    auto pool = cache->open_pool<wiped>({.cache = false});
    REQUIRE(pool);
    CHECK(pool->allocate());
  }
  CHECK(seen.wipes == 2 * 6);  // before its first use, and when nobody held it any more
}

TEST_CASE("a pool that is larger than its tensors is refused with both numbers") {
  engine e(across);
  auto cache = engine_cache::open({.cpu_accessible = true}, model, e.tensors);
  REQUIRE(cache);
  const auto over = cache->open_pool({.blocks = blocks + 1, .name = "large"});
  CHECK(over.error() == errc::too_large);
  CHECK(over.why().need == blocks + 1);
  CHECK(over.why().available == blocks);
  CHECK(std::string(over.why().pool) == "large");
  const auto null = cache->open_pool({.blocks = blocks, .null_block = true});
  CHECK(null.error() == errc::too_large);
  CHECK(null.why().available == blocks - 1);
  CHECK(cache->open_pool({.name = nullptr}));
  CHECK(cache->open_pool({.blocks = 2})->stats().total == 2);
  kv::layout other = model;
  other.block_tokens = 16;
  const auto misfit = engine_cache::open({.name = "engine"}, other, e.tensors);
  CHECK(misfit.error() == errc::invalid_argument);
  CHECK(misfit.why().need == 16);
  CHECK(misfit.why().available == 4);
  CHECK(std::string(misfit.why().pool) == "engine");
  const auto nameless = engine_cache::open({.name = nullptr}, model, e.tensors);
  CHECK(std::string(nameless->name()) == "kv");
}

TEST_CASE("keys and values of different sizes are copied each by its own tensor's stride") {
  kv::layout uneven = model;
  uneven.layers = 2, uneven.value_head_size = 32;
  const numbers keys{blocks, 4, 2, 16}, values{blocks, 4, 2, 32};
  std::vector<std::vector<unsigned char>> memory;
  std::vector<engine_tensor> tensors;
  for (std::size_t t = 0; t != 4; ++t) memory.emplace_back(blocks * 4 * 2 * (t % 2 == 0 ? 16 : 32) * 2);
  for (std::size_t t = 0; t != 4; ++t)
    tensors.push_back(
        {.data = memory[t].data(), .bytes = memory[t].size(), .axes = "BNHD", .shape = t % 2 == 0 ? keys : values});
  auto cache = engine_cache::open({.cpu_accessible = true}, uneven, tensors);
  REQUIRE(cache);
  auto pool = cache->open_pool();
  REQUIRE(pool);
  for (std::size_t t = 0; t != 4; ++t)
    for (std::size_t k = 0; k != memory[t].size(); ++k)
      memory[t][k] = static_cast<unsigned char>(k / (memory[t].size() / blocks) * 8 + t);
  auto first = kit::opened(*pool, kit::count_up(6));
  auto second = first.fork();
  REQUIRE(second);
  const kv::token next[] = {7};
  REQUIRE(second->append(next) == errc::ok);
  const std::size_t shared = first.blocks()[1], own = second->blocks()[1];
  for (std::size_t t = 0; t != 4; ++t) {
    const std::size_t each = memory[t].size() / blocks;
    for (std::size_t b = 0; b != blocks; ++b) {
      const bytes want(each, static_cast<unsigned char>((b == own ? shared : b) * 8 + t));
      CHECK(bytes(memory[t].begin() + static_cast<std::ptrdiff_t>(b * each),
                  memory[t].begin() + static_cast<std::ptrdiff_t>((b + 1) * each)) == want);
    }
  }
}
