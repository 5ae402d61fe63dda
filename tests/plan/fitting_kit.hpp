// A fitting of a model and a deployment that must be taken.
#pragma once

#include <support/catch.hpp>

#include <tokenheap/plan/fitting.hpp>

namespace fitting_kit {

namespace plan = tokenheap::plan;

plan::fitting open(const plan::model&&, const plan::deployment&) = delete;
inline plan::fitting open(const plan::model& m, const plan::deployment& d) {
  const auto r = plan::fitting::open(m, d);
  INFO(r.error);
  REQUIRE(r);
  return r.value;
}

}  // namespace fitting_kit
