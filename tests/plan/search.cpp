#include <tokenheap/plan/search.hpp>

#include <support/catch.hpp>

#include "model_kit.hpp"

namespace plan = tokenheap::plan;
using tokenheap::GiB;

namespace {

std::vector<plan::candidate> find(const plan::model& m, const plan::deployment& d, const plan::search_space& in = {}) {
  const auto found = plan::search(m, d, in);
  INFO(found.error);
  REQUIRE(found);
  return found.value;
}

}  // namespace

TEST_CASE("the cheapest that fits has the fewest devices, then the least loss", "[plan]") {
  plan::deployment d;
  d.device_bytes = 80 * GiB, d.tokens = 8192, d.sequences = 8;
  const plan::model m = model_kit::llama3_70b();
  const std::vector<plan::candidate> all = find(m, d);
  REQUIRE(all.size() > 10);
  CHECK(all[0].devices == 1);  // four bits on a single device
  CHECK(all[0].with.weight_dtype == "nvfp4");
  for (std::size_t k = 0; k < all.size(); ++k) {
    if (k % 8 == 0) CHECK(plan::fits(m, all[k].with));
    CHECK(all[k].max_sequences >= 8);
    CHECK(all[k].devices == all[k].with.tensor * all[k].with.pipeline);
    if (k != 0) CHECK(all[k - 1].devices <= all[k].devices);
    if (k != 0 && all[k - 1].devices == all[k].devices) CHECK(all[k - 1].loss <= all[k].loss);
  }
  // 65.7 GiB of weights on each of two devices leave room for caches of four bits, not for 10 GiB of sixteen
  d.weight_dtype = "bf16";
  CHECK(find(m, d)[0].devices == 2);
  CHECK(find(m, d)[0].with.kv_dtype == "nvfp4");
  d.kv_dtype = "bf16";
  CHECK(find(m, d)[0].devices == 4);
  d.weight_dtype = "fp8";
  CHECK(find(m, d)[0].devices == 2);
}

TEST_CASE("formats that are named stay", "[plan]") {
  plan::deployment d;
  d.device_bytes = 80 * GiB, d.tokens = 8192, d.sequences = 8, d.weight_dtype = "bf16", d.kv_dtype = "fp8";
  for (const plan::candidate& c : find(model_kit::llama3_70b(), d)) {
    CHECK(c.with.weight_dtype == "bf16");
    CHECK(c.with.kv_dtype == "fp8");
  }
}

TEST_CASE("experts that were on all ranks stay on all ranks", "[plan]") {
  plan::deployment d;
  d.device_bytes = 141 * GiB, d.tokens = 8192, d.tensor = 8, d.expert = 8;
  const std::vector<plan::candidate> all = find(model_kit::deepseek_v3(), d);
  REQUIRE_FALSE(all.empty());
  for (const plan::candidate& c : all) CHECK(c.with.expert == c.with.tensor);
}

TEST_CASE("a search finds nothing where nothing fits, and says what is wrong with a question", "[plan][bad]") {
  plan::deployment d;
  d.device_bytes = GiB;
  CHECK(find(model_kit::llama3_70b(), d).empty());
  d.sequences = 0;
  CHECK(plan::search(model_kit::llama3_70b(), d).error.find("sequences") != std::string::npos);
  d.sequences = 1;
  CHECK(plan::search(model_kit::llama3_70b(), d, {.most_devices = 0}).error.find("devices") != std::string::npos);
  d.kv_dtype = "fp7";
  CHECK(plan::search(model_kit::llama3_70b(), d).error.find("kv_dtype") != std::string::npos);
  CHECK(plan::search(model_kit::llama3_70b(), d, {.tensor = {~std::size_t{0}}, .pipeline = {2}}).error.find("devices") !=
        std::string::npos);
}
