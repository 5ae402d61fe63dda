#include <tokenheap/plan/config_shape.hpp>

#include <support/catch.hpp>

#include <vector>

namespace plan = tokenheap::plan;
using plan::layer_feed;
using plan::layer_mixer;
using list = std::vector<std::size_t>;

TEST_CASE("config_shape: layers by what they are", "[plan][config]") {
  plan::config_shape s;
  CHECK(s.with(layer_mixer::full).empty());
  s.layers = {{layer_mixer::full, layer_feed::dense}, {layer_mixer::state, layer_feed::experts},
              {layer_mixer::full, layer_feed::experts}, {layer_mixer::none, layer_feed::none}};
  CHECK(s.with(layer_mixer::full) == list{0, 2});
  CHECK(s.with(layer_mixer::state) == list{1});
  CHECK(s.with(layer_mixer::window).empty());
  CHECK(s.with(layer_feed::experts) == list{1, 2});
  CHECK(s.with(layer_feed::dense) == list{0});
  CHECK(s.where([](const plan::config_layer& l) { return l.feed != layer_feed::none; }) == list{0, 1, 2});
}
