#include <tokenheap/kv/redis_cluster.hpp>

#include <string>

#include <support/catch.hpp>

namespace kv = tokenheap::kv;
using kind = kv::redis_redirect::kind;

namespace {

std::uint16_t slot(const std::string& key) { return kv::redis_slot(key.data(), key.size()); }
kv::redis_redirect redirect(const std::string& text) { return kv::read_redirect(text.data(), text.size()); }
kv::redis_address at(const char* host, std::uint16_t port) {
  kv::redis_address made;
  REQUIRE(made.assign(host, std::string(host).size(), port));
  return made;
}

static_assert(kv::crc16("123456789", 9) == 0x31c3);
static_assert(kv::redis_slot("123456789", 9) == 0x31c3);
static_assert(kv::crc16("", 0) == 0);

}  // namespace

TEST_CASE("slots are those of the cluster's own", "[kv]") {
  // as CLUSTER KEYSLOT of Redis 7.0 gives them
  CHECK(slot("foo") == 12182);
  CHECK(slot("bar") == 5061);
  CHECK(slot("hello") == 866);
  CHECK(slot("foo{bar}") == slot("bar"));
  CHECK(slot("{user1000}.following") == slot("{user1000}.followers"));
  CHECK(slot("foo{}{bar}") == 8363);
  CHECK(slot("foo{{bar}}zap") == slot("{bar"));
  CHECK(slot("foo{bar}{zap}") == slot("bar"));
  CHECK(slot("foo{bar") == kv::crc16("foo{bar", 7) % kv::redis_slots);
  CHECK(slot("") == 0);
  CHECK(slot(std::string("a\0b", 3)) != slot("a"));
}

TEST_CASE("redirections are read, and nothing else is taken for one", "[kv]") {
  const auto moved = redirect("MOVED 3999 127.0.0.1:6381");
  CHECK(moved.what == kind::moved);
  CHECK(moved.slot == 3999);
  CHECK(moved.to == at("127.0.0.1", 6381));
  const auto ask = redirect("ASK 16383 ::1:7000");
  CHECK(ask.what == kind::ask);
  CHECK(ask.slot == 16383);
  CHECK(ask.to == at("::1", 7000));
  const auto same_host = redirect("MOVED 1 :6381");
  CHECK(same_host.what == kind::moved);
  CHECK(same_host.to.host == std::string());
  CHECK(same_host.to.port == 6381);
  for (const char* text : {"", "MOVED", "MOVED ", "MOVED 1", "MOVED 1 ", "MOVED 1 host", "MOVED 1 host:", "ASK x host:1",
                           "MOVED 16384 h:1", "MOVED 1 h:0", "MOVED 1 h:65536", "MOVED 1 h:-1", "MOVED -1 h:1",
                           "MOVED  h:1", "moved 1 h:1", "ERR MOVED 1 h:1", "CLUSTERDOWN Hash slot not served",
                           "MOVED 99999999999999999999 h:1"}) {
    CAPTURE(text);
    CHECK(redirect(text).what == kind::none);
  }
  CHECK(redirect("MOVED 1 " + std::string(128, 'h') + ":1").what == kind::none);
  CHECK(redirect(std::string("MOVED 1 a\0b:1", 13)).what == kind::none);
}

TEST_CASE("a slot table gives slots to servers that keep their numbers", "[kv]") {
  kv::slot_table table;
  REQUIRE(table.open(at("a", 1)));
  CHECK(table.owner(0) == 0);
  CHECK(table.owner(16'383) == 0);
  CHECK(table.uncovered() == 0);
  CHECK(table.add(at("b", 1)) == 1);
  CHECK(table.add(at("a", 2)) == 2);
  CHECK(table.add(at("a", 1)) == 0);
  CHECK(table.add(at("b", 1)) == 1);
  table.clear();
  CHECK(table.uncovered() == kv::redis_slots);
  table.assign(100, 200, 1);
  table.assign(16'000, 20'000, 2);
  CHECK(table.owner(99) == kv::slot_table::no_server);
  CHECK(table.owner(100) == 1);
  CHECK(table.owner(200) == 1);
  CHECK(table.owner(201) == kv::slot_table::no_server);
  CHECK(table.uncovered() == kv::redis_slots - 101 - 384);
  CHECK(table.is_valid());
  while (table.servers() < kv::slot_table::most_servers) {
    const auto port = static_cast<std::uint16_t>(table.servers() + 1);
    REQUIRE(table.add(at("c", port)) != kv::slot_table::no_server);
  }
  CHECK(table.add(at("d", 1)) == kv::slot_table::no_server);
  CHECK(table.is_valid());
  table.assign(5, 5, 300);
  CHECK_FALSE(table.is_valid());
}

TEST_CASE("payloads that cost no more than they are", "[kv]") {
  using tokenheap::MiB;
  CHECK(kv::redis_payload(MiB) == MiB - 128);
  CHECK(kv::redis_payload(MiB - 5'000) == MiB - 128);
  CHECK(kv::redis_payload(64) == 0);
  CHECK(kv::fits_redis(MiB - 128));
  CHECK_FALSE(kv::fits_redis(MiB));
  CHECK_FALSE(kv::fits_redis(2 * MiB));
  CHECK(kv::fits_redis(kv::redis_payload(2 * MiB)));
  CHECK(kv::fits_redis(5 * MiB / 4 - 128));
  CHECK(kv::fits_redis(1'000));
}
