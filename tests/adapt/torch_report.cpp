#include <tokenheap/adapt/torch_report.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include <alloc/caching_kit.hpp>

using namespace tokenheap;

namespace {

using rig = caching_kit::rig<caching_kit::checked_policy>;

std::string stats_text(const device_stats& of) {
  std::string all;
  adapt::write_torch_stats(of, [&](std::string_view piece) { all += piece; });
  return all;
}
std::string file_text(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A door with memory on two devices of one machine.
struct doors {
  static constexpr int most_devices = 64;
  using heap = caching_allocator<sim_device, caching_kit::checked_policy>;

  doors() {
    REQUIRE(first_device.create_stream(first_stream));
    REQUIRE(second_device.create_stream(second_stream));
  }
  [[nodiscard]] heap* heap_of(int k) { return k == 0 ? &first : k == 1 ? &second : nullptr; }

  sim_machine machine{sim_options{.devices = 2}};
  sim_device first_device = machine.device(0), second_device = machine.device(1);
  sim_device::stream first_stream{}, second_stream{};
  heap first{first_device}, second{second_device};
};

}  // namespace

TEST_CASE("the numbers stand under the keys of torch.cuda.memory_stats") {
  rig r;
  const allocation a = r.gpu().allocate(r.streams[0], {.bytes = 1000}), b = r.gpu().allocate(r.streams[0], {.bytes = 3 * MiB});
  r.gpu().deallocate(b);
  const std::string text = stats_text(r.gpu().stats());
  for (const char* part : {"\"allocation.all.current\":1,", "\"allocation.all.allocated\":2,", "\"allocation.all.freed\":1,",
                           "\"requested_bytes.small_pool.current\":1000,", "\"allocated_bytes.small_pool.current\":1024,",
                           "\"allocated_bytes.large_pool.peak\":3145728,", "\"allocated_bytes.all.peak\":3146752,",
                           "\"oversize_segments.freed\":0,", "\"max_split_size\":-1,", "\"num_ooms\":0,"}) {
    INFO(part);
    CHECK(text.find(part) != std::string::npos);
  }
  CHECK(text.front() == '{');
  CHECK(text.back() == '}');
  // nine gauges of three pools, two without pools, and seven numbers
  CHECK(std::count(text.begin(), text.end(), ':') == 9 * 3 * 4 + 2 * 4 + 7);
  CHECK(std::count(text.begin(), text.end(), ',') == 9 * 3 * 4 + 2 * 4 + 7 - 1);
  r.gpu().deallocate(a);
}

TEST_CASE("each plain number has its own key") {
  device_stats of{};
  of.num_alloc_retries = 2;
  of.num_ooms = 3;
  of.num_sync_all_streams = 5;
  of.num_device_alloc = 7;
  of.num_device_free = 11;
  const std::string text = stats_text(of);
  CHECK(text.ends_with("\"num_alloc_retries\":2,\"num_ooms\":3,\"num_oom_rejections\":0,\"num_sync_all_streams\":5,"
                       "\"num_device_alloc\":7,\"num_device_free\":11}"));
}

TEST_CASE("a buffer that is too short is cut off and terminated, and the length is that of the whole") {
  const device_stats none{};
  const std::string whole = stats_text(none);
  std::string room(whole.size() + 1, 'x');
  CHECK(adapt::write_torch_stats(none, room.data(), room.size()) == whole.size());
  CHECK(room.substr(0, whole.size()) == whole);
  CHECK(room.back() == '\0');
  char few[8] = "yyyyyyy";
  CHECK(adapt::write_torch_stats(none, few, 5) == whole.size());
  CHECK(std::string(few) == whole.substr(0, 4));
  CHECK(few[5] == 'y');
  CHECK(adapt::write_torch_stats(none, nullptr, 0) == whole.size());
}

TEST_CASE("a snapshot of all devices goes into a file, JSON or pickle by its name") {
  doors all;
  const allocation a = all.first.allocate(all.first_stream, {.bytes = 5 * MiB});
  const allocation b = all.second.allocate(all.second_stream, {.bytes = 100});
  CHECK(adapt::write_torch_snapshot(all, "torch_report.json") == errc::ok);
  const std::string json = file_text("torch_report.json");
  CHECK(json.find("\"segments\"") != std::string::npos);
  CHECK(json.find("\"requested_size\":5242880") != std::string::npos);
  CHECK(json.find("\"requested_size\":100,") != std::string::npos);
  CHECK(json.find("\"action\":\"alloc\"") != std::string::npos);
  CHECK(json.find("\"device\":1,") != std::string::npos);
  CHECK(adapt::write_torch_snapshot(all, "torch_report.pickle") == errc::ok);
  const std::string pickle = file_text("torch_report.pickle");
  CHECK(pickle.substr(0, 2) == "\x80\x02");
  CHECK(pickle.back() == '.');
  CHECK(adapt::write_torch_snapshot(all, nullptr) == errc::system_refused);
  CHECK(adapt::write_torch_snapshot(all, "no/such/folder/x.json") == errc::system_refused);
  std::remove("torch_report.json");
  std::remove("torch_report.pickle");
  all.first.deallocate(a);
  all.second.deallocate(b);
}
