// The model that `tokenheap plan` reads: apart from the rest, because a JSON parser takes long to compile.
#include <utility>

#include <tokenheap/plan/model_path.hpp>

#include "plan_search.hpp"

namespace program {

complaint read_model(const std::string& path, tokenheap::plan::model& into, std::string& from) {
  tokenheap::plan::reading<tokenheap::plan::found_model> found = tokenheap::plan::read_model_path(path);
  into = std::move(found.value.what);
  from = std::move(found.value.from);
  return found.error;
}

}  // namespace program
