#include <tokenheap/adapt/c_events.h>

#include <support/catch.hpp>

#include <cstddef>

TEST_CASE("the structs of C events have the places that were published") {
  STATIC_REQUIRE(th_event_cleared == 3);
  STATIC_REQUIRE(sizeof(th_feed_options) == 32);
  STATIC_REQUIRE(offsetof(th_event, parent) == 48);
  STATIC_REQUIRE(offsetof(th_event, token_count) == 96);
  STATIC_REQUIRE(sizeof(th_event) == 104);
  STATIC_REQUIRE(sizeof(th_feed_json_options) == 40);
}
