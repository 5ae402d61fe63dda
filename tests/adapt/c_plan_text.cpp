#include <tokenheap/adapt/c_plan_text.hpp>

#include <support/catch.hpp>

#include <string>

using namespace tokenheap;

namespace {

adapt::c_planned sample() {
  adapt::c_planned p;
  p.of.name = "a \"model\"\n\xff";
  p.of.type = "llama";
  p.asked.sequences = 3;
  p.found.weight_dtype = "fp8";
  p.found.kv_dtype = "bf16";
  p.found.tokens = 100;
  p.found.blocks = 7;
  p.found.block_tokens = 16;
  p.found.block_bytes = 1024;
  p.found.waste_percent = 1.5;
  p.found.groups = {{.name = "window", .kind = kv::group_kind::window, .layers = 2, .block_bytes = 1024}};
  p.found.devices = {{.stage = 0, .total = 2 * GiB, .weights = GiB, .kv = GiB}, {.stage = 1, .total = 2 * GiB, .missing = GiB}};
  return p;
}

std::size_t count(const std::string& in, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = in.find(what); at != std::string::npos; at = in.find(what, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("the table of a plan says what fits, each stage, and only what there is to say") {
  adapt::c_planned p = sample();
  std::string table = adapt::c_plan_table(p);
  REQUIRE(table.rfind("does not fit              3 sequences of 100 tokens\n", 0) == 0);
  REQUIRE(table.find("pool of each device       7 blocks of 16 tokens, 1024 bytes\n") != std::string::npos);
  REQUIRE(table.find("\ndevices of stage 1, 2.00 GiB each\n  missing                 1.00 GiB\n") != std::string::npos);
  REQUIRE(table.find("warnings") == std::string::npos);
  p.found.fits = true;
  p.found.shortage = "too little";
  p.found.advice = {"less", "more"};
  p.found.warnings = {"guessed"};
  table = adapt::c_plan_table(p);
  REQUIRE(table.rfind("fits                      3 sequences", 0) == 0);
  REQUIRE(table.find("\ntoo little\n\nfits with one of\n  * less\n  * more\n\nwarnings\n  * guessed\n") != std::string::npos);
}

TEST_CASE("the object of a plan is one line of JSON whatever the names of files hold") {
  adapt::c_planned p = sample();
  p.found.advice = {"a", "b"};
  const std::string json = adapt::c_plan_json(p);
  REQUIRE(json.starts_with("{\"model\":\"a \\u0022model\\u0022\\u000a\xef\xbf\xbd\",\"model_type\":\"llama\","));
  REQUIRE(json.ends_with(",\"advice\":[\"a\",\"b\"],\"warnings\":[]}\n"));
  const std::string groups = "\"groups\":[{\"name\":\"window\",\"kind\":\"window\",";
  REQUIRE(json.find("\"fits\":false,\"waste_percent\":1.5," + groups) != std::string::npos);
  REQUIRE(count(json, "\"stage\":") == 2);
  REQUIRE(count(json, "{") == count(json, "}"));
  REQUIRE(count(json, "\n") == 1);
}
