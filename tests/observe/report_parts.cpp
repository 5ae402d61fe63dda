#include <tokenheap/observe/report_parts.hpp>

#include <support/catch.hpp>

#include <string>

namespace {

using tokenheap::detail::report_parts;

TEST_CASE("the other scripts end no element and write no markup") {
  CHECK(report_parts.find("</") == std::string_view::npos);
  CHECK(report_parts.find("innerHTML") == std::string_view::npos);
  CHECK(report_parts.find("document.write") == std::string_view::npos);
}

TEST_CASE("every list of a report is drawn") {
  for (const char* list : {"report.figures", "report.series", "report.maps", "report.histograms", "report.owners",
                           "report.reasons", "report.files"}) {
    INFO(list);
    CHECK(report_parts.find(list) != std::string_view::npos);
  }
}

}  // namespace
