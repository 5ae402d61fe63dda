#include <tokenheap/observe/oom_report.hpp>

#include <support/catch.hpp>

#include <string>

#include <nlohmann/json.hpp>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/policy/budget.hpp>

using namespace tokenheap;

namespace {

std::string text_of(const oom_report& r) {
  char text[2048];
  return std::string(text, describe(r, text, sizeof text));
}
std::string fix_of(const oom_report& r) {
  char text[320];
  return std::string(text, describe_fix(r, text, sizeof text));
}
nlohmann::json json_of(const oom_report& r) {
  char text[2048];
  const std::size_t length = write_json(r, text, sizeof text);
  REQUIRE(length != 0);
  return nlohmann::json::parse(std::string(text, length), nullptr, false);
}

shortage example() {
  shortage s{};
  s.code = errc::out_of_memory;
  s.pool = "kv";
  s.ordinal = 3;
  s.need = 4096;
  s.limit = 10000;
  s.device_free = 512;
  s.largest_free = 1024;
  s.reserved = 9488;
  s.cached = 2048;
  s.pending = 77;
  s.top[0] = {.name = "weights", .current = 2000, .peak = 7100, .pieces = 5};
  s.top[1] = {.name = "kv", .current = 1500, .peak = 1600, .pieces = 2};
  s.fix = "lower the batch";
  return s;
}

}  // namespace

TEST_CASE("a shortage becomes one text: need, limit, owners, what would have to go, a number to paste", "[observe]") {
  CHECK(text_of(report_of(example())) ==
        "E001 out of memory in pool 'kv' on device 3: need 4096, limit 10000, available 1024\n"
        "  reserved 9488, cached 2048 (largest piece 1024), pending 77, free on the device 512\n"
        "  weights holds 2000 in 5, at most 7100; of these 2000 would have to go\n"
        "  kv holds 1500 in 2, at most 1600; of these 1072 would have to go\n"
        "  fix: free 3072, or ask for at most 1024; lower the batch\n"
        "  more: docs/errors.md, E001\n");
}

TEST_CASE("a shortage becomes one JSON object with the same numbers", "[observe]") {
  shortage s = example();
  s.pool = "k\"v";
  const nlohmann::json j = json_of(report_of(s));
  REQUIRE(j.is_object());
  CHECK(j["code"] == "E001");
  CHECK(j["reason"] == "out of memory");
  CHECK(j["pool"] == "k\"v");
  CHECK(j["device"] == 3);
  CHECK(j["need"] == 4096);
  CHECK(j["limit"] == 10000);
  CHECK(j["available"] == 1024);
  CHECK(j["largest_free"] == 1024);
  CHECK(j["reserved"] == 9488);
  CHECK(j["cached"] == 2048);
  CHECK(j["pending"] == 77);
  CHECK(j["device_free"] == 512);
  CHECK(j["short_by"] == 3072);
  CHECK(j["top"].size() == 2);
  CHECK(j["top"][0] == nlohmann::json({{"owner", "weights"}, {"bytes", 2000}, {"peak", 7100}, {"pieces", 5}}));
  CHECK(j["must_go"] == nlohmann::json::parse(R"([{"owner":"weights","bytes":2000},{"owner":"kv","bytes":1072}])", nullptr, false));
  CHECK(j["fix"] == "free 3072, or ask for at most 1024; lower the batch");
}

TEST_CASE("the fix is computed from what is in the way", "[observe]") {
  shortage s = example();
  s.fix = "";
  // memory is there, in pieces that are too small
  s.cached = 5000;
  CHECK(fix_of(report_of(s)) == "5000 are free in pieces of at most 1024: make this class growable, or ask for at most 1024");
  // the device has enough, the allocator's own limit has not
  s.cached = 0;
  s.device_free = 9000;
  CHECK(fix_of(report_of(s)) == "raise the allocator's limit to 13072, or free 3072");
  s.code = errc::too_large;
  s.need = 20000;
  CHECK(fix_of(report_of(s)) == "ask for at most 10000, or raise the limit to 20000");
  s.code = errc::limit_reached;
  s.need = 4096;
  s.largest_free = s.device_free = 0;
  CHECK(fix_of(report_of(s)) == "raise the owner's hard limit by 4096, or free as much of what it holds");
}

TEST_CASE("any failure becomes a report; a budget's names the node and the limit that would do", "[observe]") {
  budget process({.name = "process", .hard = 1000});
  budget tenant({.name = "tenant", .parent = &process});
  REQUIRE(tenant.charge(900).code == errc::ok);
  const oom_report r = report_of(tenant.charge(150));
  CHECK(text_of(r) ==
        "E002 limit reached in pool 'process' (bytes of a budget): need 150, limit 1000, available 100\n"
        "  fix: raise the limit of 'process' to 1050, or free 50; raise this node's hard limit, or free what it holds\n"
        "  more: docs/errors.md, E002\n");
  const nlohmann::json j = json_of(r);
  REQUIRE(j.is_object());
  CHECK(j["device"].is_null());
  CHECK(j["what"] == "bytes of a budget");
  CHECK(j["top"].empty());
  CHECK(j["must_go"].empty());
  process.set_limits(1050);
  CHECK(tenant.charge(150).code == errc::ok);
  tenant.take_back(1050);
}

TEST_CASE("a failure that counts nothing still carries a number", "[observe][bad]") {
  const failure f{.code = errc::no_device, .pool = "gpu", .what = "devices", .need = 1, .available = 1, .fix = "run where one is"};
  CHECK(fix_of(report_of(f)) == "run where one is (asked for 1)");
  CHECK(fix_of(report_of(failure{})) == " (asked for 0)");
}

TEST_CASE("a text that is too long ends at its buffer; half a JSON object is none", "[observe][bad]") {
  const oom_report r = report_of(example());
  char tiny[16];
  CHECK(describe(r, tiny, sizeof tiny) == 15);
  CHECK(std::string(tiny) == "E001 out of mem");
  char text[2048];
  const std::size_t whole = write_json(r, text, sizeof text);
  for (std::size_t room : {std::size_t{0}, std::size_t{1}, std::size_t{40}, whole}) {
    INFO("room " << room);
    CHECK(write_json(r, text, room) == 0);
  }
  CHECK(write_json(r, text, whole + 1) == whole);
}

TEST_CASE("a caching allocator's refusal names who would have to go", "[observe]") {
  sim_machine machine(sim_options{.capacity = 64 * MiB});
  sim_device device = machine.device();
  sim_device::stream s{};
  REQUIRE(device.create_stream(s));
  {
    caching_allocator<sim_device> gpu(device, {.name = "gpu"});
    const allocation a = gpu.allocate(s, {.bytes = 40 * MiB, .of = memory_class::weights});
    REQUIRE(a);
    shortage why{};
    REQUIRE_FALSE(gpu.allocate(s, {.bytes = 40 * MiB}, &why));
    const oom_report r = report_of(why);
    CHECK(r.short_by == 16 * MiB);
    CHECK(text_of(r) ==
          "E001 out of memory in pool 'gpu' on device 0: need 41943040, limit 67108864, available 25165824\n"
          "  reserved 41943040, cached 0 (largest piece 0), pending 0, free on the device 25165824\n"
          "  weights holds 41943040 in 1, at most 41943040; of these 16777216 would have to go\n"
          "  fix: free 16777216, or ask for at most 25165824; free memory, lower the batch, or raise the limit\n"
          "  more: docs/errors.md, E001\n");
    // and what it names as available is
    const allocation b = gpu.allocate(s, {.bytes = r.available});
    CHECK(b);
    gpu.deallocate(s, b);
    gpu.deallocate(s, a);
  }
  REQUIRE(device.destroy_stream(s));
}
