#include <tokenheap/adapt/onnxruntime.hpp>

#include <support/catch.hpp>

#include <map>
#include <string>
#include <thread>
#include <vector>

#include <tokenheap/device/sim.hpp>

using namespace tokenheap;

namespace {

// The C interface in three ages, without its header: the oldest, with Reserve (1.18), and with all slots.
struct about_memory {
  const char* name;
};
struct status;
struct sync_stream {
  std::uintptr_t handle;
};
struct pairs {
  std::map<std::string, std::string> all;
};
struct old_struct {
  std::uint32_t version;
  void* (*Alloc)(old_struct*, std::size_t);
  void (*Free)(old_struct*, void*);
  const about_memory* (*Info)(const old_struct*);
};
struct middle_struct {
  std::uint32_t version;
  void* (*Alloc)(middle_struct*, std::size_t);
  void (*Free)(middle_struct*, void*);
  const about_memory* (*Info)(const middle_struct*);
  void* (*Reserve)(middle_struct*, std::size_t);
};
struct new_struct {
  std::uint32_t version;
  void* (*Alloc)(new_struct*, std::size_t);
  void (*Free)(new_struct*, void*);
  const about_memory* (*Info)(const new_struct*);
  void* (*Reserve)(new_struct*, std::size_t);
  status* (*GetStats)(const new_struct*, pairs**) noexcept;
  void* (*AllocOnStream)(new_struct*, std::size_t, sync_stream*);
  status* (*Shrink)(new_struct*) noexcept;
};
struct old_api {};
struct new_api {
  void (*CreateKeyValuePairs)(pairs**) noexcept;
  void (*AddKeyValuePair)(pairs*, const char*, const char*) noexcept;
  void* (*SyncStream_GetHandle)(sync_stream*) noexcept;
};

const about_memory about{"Cpu"};
const new_api api{[](pairs** out) noexcept { *out = new pairs; },
                  [](pairs* to, const char* key, const char* value) noexcept { to->all[key] = value; },
                  [](sync_stream* s) noexcept { return reinterpret_cast<void*>(s->handle); }};

std::map<std::string, std::string> stats_of(const new_struct& a) {
  pairs* out = nullptr;
  CHECK(a.GetStats(&a, &out) == nullptr);
  const std::map<std::string, std::string> all = out->all;
  delete out;
  return all;
}

}  // namespace

static_assert(adapt::onnxruntime_struct<old_struct> && adapt::onnxruntime_struct<new_struct>);
static_assert(!adapt::onnxruntime_struct<old_api> && !adapt::onnxruntime_struct<about_memory>);

TEMPLATE_TEST_CASE("onnxruntime: every age of the interface gets and gives back", "", old_struct, middle_struct, new_struct) {
  host_source heap;
  adapt::onnxruntime_host<TestType, old_api, host_source> mine(heap, {.about = &about, .version = 17});
  TestType* const asked = &mine;
  CHECK(asked->version == 17);
  CHECK(asked->Info(asked) == &about);
  CHECK(asked->Alloc(asked, 0) == nullptr);
  CHECK(asked->Alloc(asked, ~std::size_t{0}) == nullptr);
  asked->Free(asked, nullptr);
  void* const p = asked->Alloc(asked, 100);
  REQUIRE(p != nullptr);
  CHECK(address_of(p) % 64 == 0);
  void* const q = asked->Alloc(asked, 1000);
  CHECK(mine.in_use() == 1100);
  CHECK(mine.held() == 1100 + 2 * 64);
  asked->Free(asked, p);
  CHECK(mine.in_use() == 1000);
  asked->Free(asked, q);
  CHECK(mine.in_use() == 0);
  CHECK(mine.held() == 0);
  CHECK(mine.most_in_use() == 1100);
  CHECK(mine.allocations() == 2);
  if constexpr (requires { asked->Reserve; }) {
    void* const r = asked->Reserve(asked, 64);
    CHECK(r != nullptr);
    CHECK(asked->Reserve(asked, 0) == nullptr);
    CHECK(mine.reserves() == 1);
    asked->Free(asked, r);
  }
  if constexpr (requires { asked->Shrink; }) {
    // without the interface there is nobody to make statistics with, and no stream could be read
    CHECK(asked->GetStats == nullptr);
    CHECK(asked->AllocOnStream == nullptr);
    CHECK(asked->Shrink(asked) == nullptr);
  }
}

TEST_CASE("onnxruntime: statistics have ONNX Runtime's names and our numbers") {
  host_source heap;
  using allocator = adapt::onnxruntime_host<new_struct, new_api, host_source>;
  allocator mine(heap, {.about = &about, .version = 24, .api = &api});
  void* const p = mine.Alloc(&mine, 5000);
  void* const q = mine.Reserve(&mine, 300);
  mine.Free(&mine, p);
  CHECK(stats_of(mine) == std::map<std::string, std::string>{{"Limit", "-1"}, {"InUse", "300"}, {"TotalAllocated", "364"},
                                                             {"MaxInUse", "5300"}, {"NumAllocs", "2"},
                                                             {"NumReserves", "1"}, {"MaxAllocSize", "5000"}});
  mine.Free(&mine, q);
  allocator limited(heap, {.about = &about, .version = 24, .api = &api, .limit = 1 * GiB});
  CHECK(stats_of(limited)["Limit"] == "1073741824");
  CHECK(stats_of(limited)["InUse"] == "0");
  // an interface without memory for the answer gives none, and nothing breaks
  const new_api poor{[](pairs** out) noexcept { *out = nullptr; }, api.AddKeyValuePair, nullptr};
  allocator told(heap, {.about = &about, .version = 24, .api = &poor});
  pairs* out = nullptr;
  CHECK(told.GetStats(&told, &out) == nullptr);
  CHECK(out == nullptr);
}

TEST_CASE("onnxruntime: a device allocates in the order of streams, and shrinks") {
  sim_machine machine(sim_options{.capacity = 256 * MiB});
  sim_device device = machine.device();
  sim_device::stream one{}, two{};
  REQUIRE(device.create_stream(one));
  REQUIRE(device.create_stream(two));
  {
    using heap = caching_allocator<sim_device>;
    using allocator = adapt::onnxruntime_device<new_struct, new_api, heap>;
    heap gpu(device);
    allocator mine({gpu, one.handle}, {.about = &about, .version = 24, .api = &api});
    sync_stream second{two.handle};
    void* const p = mine.Alloc(&mine, 1 << 20);
    void* const q = mine.AllocOnStream(&mine, 1 << 20, &second);
    void* const w = mine.Reserve(&mine, 4096);
    REQUIRE(q != nullptr);
    CHECK(mine.AllocOnStream(&mine, 0, &second) == nullptr);
    mine.Free(&mine, q);
    const allocation general = gpu.allocate(two, 1 << 20);  // another class: not the piece that is free
    CHECK(general.data != q);
    CHECK(mine.AllocOnStream(&mine, 1 << 20, &second) == q);
    void* const r = mine.AllocOnStream(&mine, 1 << 20, nullptr);  // no stream: as Alloc
    mine.Free(&mine, p);
    CHECK(mine.Alloc(&mine, 1 << 20) == p);
    CHECK(mine.Alloc(&mine, std::size_t{1} << 40) == nullptr);
    auto all = stats_of(mine);
    CHECK(all["InUse"] == std::to_string(3 * (1 << 20) + 4096));
    CHECK(all["TotalAllocated"] == std::to_string(gpu.stats().all.reserved_bytes.current));
    CHECK(all["NumArenaExtensions"] == std::to_string(gpu.stats().num_device_alloc));
    CHECK(all["NumArenaShrinkages"] == "0");
    for (void* each : {p, q, r, w}) mine.Free(&mine, each);
    CHECK(mine.in_use() == 0);
    const std::size_t before = gpu.stats().all.reserved_bytes.current;
    CHECK(mine.Shrink(&mine) == nullptr);
    CHECK(gpu.stats().all.reserved_bytes.current < before);
    CHECK(stats_of(mine)["NumArenaShrinkages"] != "0");
    // the program's own way to a handle goes before the interface's
    allocator by_hand({gpu, one.handle}, {.about = &about, .version = 24, .api = &api,
                               .handle_of = [](sync_stream* s) { return s->handle - 1; }});
    sync_stream shifted{two.handle + 1};
    void* const s = by_hand.AllocOnStream(&by_hand, 1000, &shifted);
    by_hand.Free(&by_hand, s);
    CHECK(mine.AllocOnStream(&mine, 1000, &second) == s);
    mine.Free(&mine, s);
    gpu.deallocate(general);
  }
  REQUIRE(device.destroy_stream(one));
  REQUIRE(device.destroy_stream(two));
  CHECK(machine.violations() == 0);
}

TEST_CASE("onnxruntime: threads share one allocator, and its sums agree at the end") {
  host_source heap;
  adapt::onnxruntime_host<new_struct, new_api, host_source> mine(heap, {.about = &about, .version = 24, .api = &api});
  std::vector<std::thread> all;
  for (std::size_t t = 0; t != 4; ++t) {
    all.emplace_back([&mine, t] {
      for (std::size_t k = 0; k != 1000; ++k) {
        void* const p = mine.Alloc(&mine, 16 + t);
        void* const q = mine.Reserve(&mine, 100);
        mine.Free(&mine, p);
        mine.Free(&mine, q);
      }
    });
  }
  for (std::thread& t : all) t.join();
  CHECK(mine.in_use() == 0);
  CHECK(mine.held() == 0);
  CHECK(mine.allocations() == 8000);
  CHECK(mine.reserves() == 4000);
  CHECK(mine.most_in_use() >= 119);
  CHECK(mine.most_in_use() <= 4 * 119);
}
