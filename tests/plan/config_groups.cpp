#include <tokenheap/plan/config_groups.hpp>

#include <support/catch.hpp>

#include <vector>

namespace kv = tokenheap::kv;
namespace plan = tokenheap::plan;
using plan::layer_feed;
using plan::layer_mixer;
using list = std::vector<std::size_t>;

namespace {

plan::config_shape four(layer_mixer a, layer_mixer b, layer_mixer c, layer_mixer d) {
  plan::config_shape s;
  s.layers = {{a, layer_feed::dense}, {b, layer_feed::dense}, {c, layer_feed::dense}, {d, layer_feed::dense}};
  s.attention = {.heads = 8, .kv_heads = 2, .head_size = 64};
  return s;
}

}  // namespace

TEST_CASE("groups_of: full layers before windows, each with its layers", "[plan][config]") {
  auto s = four(layer_mixer::window, layer_mixer::full, layer_mixer::window, layer_mixer::full);
  s.window = 128;
  const auto groups = plan::groups_of(s);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].name == "full");
  CHECK(groups[0].kind == kv::group_kind::full);
  CHECK(groups[0].at == list{1, 3});
  CHECK(groups[0].kv_heads == 2);
  CHECK(groups[0].head_size == 64);
  CHECK(groups[0].value_head_size == 0);
  CHECK(groups[1].name == "window 128");
  CHECK(groups[1].kind == kv::group_kind::window);
  CHECK(groups[1].at == list{0, 2});
  CHECK(groups[1].span == 128);
}

TEST_CASE("groups_of: chunks, crossing layers and none", "[plan][config]") {
  auto s = four(layer_mixer::chunked, layer_mixer::cross, layer_mixer::none, layer_mixer::chunked);
  s.chunk = 8192;
  s.encoder_tokens = 6404;
  s.attention.value_size = 32;
  const auto groups = plan::groups_of(s);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].name == "chunk 8192");
  CHECK(groups[0].span == 8192);
  CHECK(groups[0].value_head_size == 32);
  CHECK(groups[0].at == list{0, 3});
  CHECK(groups[1].name == "cross");
  CHECK(groups[1].kind == kv::group_kind::cross);
  CHECK(groups[1].encoder_tokens == 6404);
  CHECK(groups[1].at == list{1});
}

TEST_CASE("groups_of: one latent vector, of no head", "[plan][config]") {
  auto s = four(layer_mixer::latent, layer_mixer::latent, layer_mixer::latent, layer_mixer::latent);
  s.attention = {.heads = 128, .kv_heads = 1, .head_size = 192, .value_size = 128, .kv_rank = 512, .rope_size = 64};
  const auto groups = plan::groups_of(s);
  REQUIRE(groups.size() == 1);
  CHECK(groups[0].latent);
  CHECK(groups[0].kind == kv::group_kind::full);
  CHECK(groups[0].kv_heads == 1);
  CHECK(groups[0].head_size == 512);
  CHECK(groups[0].rope_size == 64);
  CHECK(groups[0].value_head_size == 0);
}

TEST_CASE("groups_of: states, alone or beside attention", "[plan][config]") {
  auto s = four(layer_mixer::state, layer_mixer::full, layer_mixer::state, layer_mixer::state);
  s.state = {.conv_numbers = 30, .state_numbers = 500, .heads = 10, .conv_bytes = 2, .state_bytes = 4};
  auto groups = plan::groups_of(s);
  REQUIRE(groups.size() == 2);
  CHECK(groups[1].name == "state");
  CHECK(groups[1].at == list{0, 2, 3});
  CHECK(groups[1].conv_numbers == 30);
  CHECK(groups[1].state_numbers == 500);
  CHECK(groups[1].state_heads == 10);
  CHECK(groups[1].conv_bytes_each == 2);
  CHECK(groups[1].state_bytes_each == 4);
  CHECK(groups[1].kv_heads == 0);
  s = four(layer_mixer::full, layer_mixer::full, layer_mixer::full, layer_mixer::full);
  s.keeps_state = true;
  groups = plan::groups_of(s);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].at == list{0, 1, 2, 3});
  CHECK(groups[1].at == list{0, 1, 2, 3});
}

TEST_CASE("groups_of: an encoder beside every layer; layers that keep nothing of their own", "[plan][config]") {
  auto s = four(layer_mixer::full, layer_mixer::full, layer_mixer::full, layer_mixer::full);
  s.crosses = true;
  s.encoder_tokens = 1500;
  auto groups = plan::groups_of(s);
  REQUIRE(groups.size() == 2);
  CHECK(groups[1].name == "cross");
  CHECK(groups[1].at == list{0, 1, 2, 3});
  s.crosses = false;
  s.keepless = 3;
  groups = plan::groups_of(s);
  REQUIRE(groups.size() == 1);
  CHECK(groups[0].at == list{0});
  s.keepless = 4;  // somebody must keep something
  CHECK(plan::groups_of(s)[0].at == list{0, 1, 2, 3});
}
