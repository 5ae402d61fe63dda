#include <tokenheap/observe/viz_walk.hpp>

#include <support/catch.hpp>

#include <set>
#include <string>

using namespace tokenheap;

namespace {

// a format that writes what it is told, and checks that all that is opened is closed
struct plain {
  void open_map() { text_ += "{", ++depth_; }
  void close_map() { text_ += "}", --depth_; }
  void open_list() { text_ += "[", ++depth_; }
  void close_list() { text_ += "]", --depth_; }
  void item() { text_ += " "; }
  void key(viz_key k) { text_ += std::string(to_text(k)) + "="; }
  void number(std::uint64_t value) { text_ += std::to_string(value) + ";"; }
  void text(const char* value) { text_ += std::string(value) + ";"; }
  void flag(bool value) { text_ += value ? "yes;" : "no;"; }
  void frames(const viz_frame& f) { text_ += std::string("<") + f.name + ">"; }
  std::string text_;
  int depth_ = 0;
};

}  // namespace

TEST_CASE("every key has a name of its own", "[observe]") {
  std::set<std::string> names;
  for (std::size_t k = 0; k != viz_keys; ++k) names.insert(to_text(static_cast<viz_key>(k)));
  CHECK(names.size() == viz_keys);
  CHECK(std::string(to_text(viz_key::segments)) == "segments");
  CHECK(std::string(to_text(viz_key::time_us)) == "time_us");
  CHECK(std::string(to_text(viz_key::line)) == "line");
}

TEST_CASE("a snapshot is told in order, a list for each device", "[observe]") {
  viz_snapshot s;
  s.begin_segment({.device = 1, .address = 10, .stream = 3, .large = false, .expandable = true, .frame = {.name = "seg"}});
  s.add(viz_block{.address = 10, .size = 4, .requested = 2, .state = viz_state::allocated, .frame = {.name = "own"}});
  s.add(viz_event{.device = 1, .action = device_action::oom, .address = 5, .bytes = 6, .microseconds = 8});
  s.add(viz_event{.device = 0, .action = device_action::free_requested, .address = 9, .bytes = 1, .stream = 2, .microseconds = 9});
  s.arrange();
  plain told;
  viz_walk walk(told);
  walk.snapshot(s);
  CHECK(told.depth_ == 0);
  CHECK(told.text_ ==
        "{segments=[ {device=1;address=10;total_size=4;allocated_size=4;active_size=4;requested_size=2;stream=3;"
        "segment_type=small;segment_pool_id=[ 0; 0;]is_expandable=yes;frames=<seg>blocks=[ {address=10;size=4;"
        "requested_size=2;state=active_allocated;frames=<own>}]}]device_traces=[ [ {action=free_requested;addr=9;size=1;"
        "stream=2;time_us=9;compile_context=N/A;user_metadata=;frames=<memory>}] [ {action=oom;device_free=5;size=6;"
        "stream=0;time_us=8;compile_context=N/A;user_metadata=;frames=<memory>}]]allocator_settings={allocator=tokenheap;}"
        "external_annotations=[]}");
  plain frame;
  put_frame(frame, {.name = "a", .filename = "b", .line = 3});
  CHECK(frame.text_ == "{name=a;filename=b;line=3;}");
}
