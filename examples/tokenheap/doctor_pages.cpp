#include <algorithm>

#include <fmt/format.h>

#include "doctor.hpp"

namespace program {
namespace {

void look_at_transparent(const machine_files& files, std::vector<finding>& into) {
  finding f{.name = "transparent_huge_pages"};
  const auto text = files.read("/sys/kernel/mm/transparent_hugepage/enabled");
  // such as: always [madvise] never
  const std::size_t from = text ? text->find('[') : std::string::npos;
  const std::size_t to = from == std::string::npos ? from : text->find(']', from);
  f.numbers = {{"mode", nullptr}};
  if (to != std::string::npos) {
    f.value = text->substr(from + 1, to - from - 1);
    f.numbers = {{"mode", f.value}};
    f.state = f.value == "never" ? finding_state::limited : finding_state::good;
  } else {
    f.value = "the kernel has none, or /sys cannot be read";
    f.state = finding_state::missing;
  }
  if (f.state != finding_state::good) {
    f.cost = "1 GiB of host memory takes 262144 page faults at its first touch, not 512, and misses the TLB more often";
    f.fix = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled";
  }
  into.push_back(f);
}

void look_at_reserved(const machine_files& files, std::vector<finding>& into) {
  finding f{.name = "hugetlb"};
  const std::string top = "/sys/kernel/mm/hugepages";
  f.numbers = {{"sizes", nlohmann::ordered_json::array()}};
  std::vector<std::string> sizes = files.list(top);
  std::sort(sizes.begin(), sizes.end());
  std::uint64_t pages = 0;
  for (const std::string& size : sizes) {
    const auto kibibytes = number_after(size, "hugepages-");
    if (!kibibytes || *kibibytes > (std::uint64_t{1} << 40)) continue;
    const std::uint64_t all = files.read_number(top + "/" + size + "/nr_hugepages").value_or(0);
    const std::uint64_t left = files.read_number(top + "/" + size + "/free_hugepages").value_or(0);
    f.numbers["sizes"].push_back({{"page_bytes", *kibibytes * 1024}, {"pages", all}, {"free", left}});
    if (!f.value.empty()) f.value += ", ";
    f.value += fmt::format("{} of {}", all, bytes_text(*kibibytes * 1024));
    pages |= all;
  }
  f.state = pages != 0 ? finding_state::good : sizes.empty() ? finding_state::missing : finding_state::limited;
  if (f.value.empty()) f.value = "none, or /sys cannot be read";
  if (f.state != finding_state::good) {
    f.cost = "no huge pages are set aside: pools get them only when the kernel finds 2 MiB in one piece";
    f.fix = "sudo sysctl vm.nr_hugepages=512    # 1 GiB";
  }
  into.push_back(f);
}

void look_at_nodes(const machine_files& files, std::vector<finding>& into) {
  finding f{.name = "numa"};
  std::size_t nodes = 0;
  for (const std::string& name : files.list("/sys/devices/system/node"))
    nodes += number_after(name, "node").has_value() && name.compare(0, 4, "node") == 0;
  f.numbers = {{"nodes", nodes}};
  if (nodes == 0) {
    f.value = "/sys/devices/system/node cannot be read";
    f.cost = "pools are not put near the device or the thread that uses them";
    f.fix = "mount -t sysfs sysfs /sys";
  } else {
    f.state = finding_state::good;
    f.value = nodes == 1 ? "1 node: all memory is equally near" : fmt::format("{} nodes: name one in page_options", nodes);
  }
  into.push_back(f);
}

}  // namespace

void look_at_pages(const machine_files& files, std::vector<finding>& into) {
  look_at_transparent(files, into);
  look_at_reserved(files, into);
  look_at_nodes(files, into);
}

}  // namespace program
