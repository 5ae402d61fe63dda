#include <sys/resource.h>

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "doctor.hpp"

namespace program {
namespace {

constexpr std::uint64_t without_limit = std::numeric_limits<std::uint64_t>::max();

std::uint64_t look_at_total(const machine_files& files, std::vector<finding>& into) {
  finding f{.name = "memory"};
  const auto text = files.read("/proc/meminfo");
  const auto total = text ? number_after(*text, "MemTotal:") : std::nullopt;
  const auto available = text ? number_after(*text, "MemAvailable:") : std::nullopt;
  if (!total || *total > without_limit / 1024) {
    f.value = "/proc/meminfo cannot be read";
    f.cost = "nobody can say how much memory pools may take";
    f.fix = "mount -t proc proc /proc";
    into.push_back(f);
    return without_limit;
  }
  const std::uint64_t all = *total * 1024;
  const std::uint64_t left = std::min(available.value_or(*total), *total) * 1024;
  f.numbers = {{"total_bytes", all}, {"available_bytes", left}};
  f.value = fmt::format("{} of {} available", bytes_text(left), bytes_text(all));
  f.state = left < all / 10 ? finding_state::limited : finding_state::good;
  if (f.state == finding_state::limited) {
    f.cost = "host pools and tiers above that are paid for by others, by swapping or by being killed";
    f.fix = fmt::format("hard_limit_options{{.limit = {}}}", left / 10 * 9);
  }
  into.push_back(f);
  return all;
}

/// The smallest limit of the group of this process and the groups above it.
std::uint64_t group_limit(const machine_files& files, const std::string& top, const std::string& group, const char* leaf) {
  std::uint64_t least = without_limit;
  std::string path = group == "/" ? "" : group;
  // a container sees its own group as the top, though its name is that of the host
  for (;;) {
    least = std::min(least, files.read_number(top + path + leaf).value_or(without_limit));
    if (path.empty()) return least;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

std::string group_of(std::string_view text, std::string_view mark) {
  const std::size_t at = text.find(mark);
  if (at == std::string_view::npos) return "";
  const std::string_view rest = text.substr(at + mark.size());
  return std::string(rest.substr(0, rest.find('\n')));
}

void look_at_group(const machine_files& files, std::uint64_t total, std::vector<finding>& into) {
  finding f{.name = "cgroup"};
  const auto groups = files.read("/proc/self/cgroup");
  const std::uint64_t limit =
      std::min(group_limit(files, "/sys/fs/cgroup", group_of(groups.value_or(""), "0::"), "/memory.max"),
               group_limit(files, "/sys/fs/cgroup/memory", group_of(groups.value_or(""), ":memory:"), "/memory.limit_in_bytes"));
  f.state = finding_state::good;
  f.value = groups ? "no limit below the machine's memory" : "no control groups";
  f.numbers = {{"limit_bytes", nullptr}};
  if (limit < total) {
    f.numbers = {{"limit_bytes", limit}};
    f.state = finding_state::limited;
    f.value = fmt::format("limited to {}", bytes_text(limit));
    f.cost = "whoever passes the limit is killed, not refused: host pools and tiers must stay below it themselves";
    f.fix = fmt::format("hard_limit_options{{.limit = {}}}", limit / 10 * 9);
  }
  into.push_back(f);
}

std::optional<std::uint64_t> memlock_limit(const machine_files& files) {
  const auto text = files.read("/proc/self/limits");
  if (text) {
    const std::size_t at = text->find("Max locked memory");
    if (at != std::string::npos) {
      const std::size_t soft = text->find_first_not_of(' ', at + 17);
      if (soft != std::string::npos && text->compare(soft, 9, "unlimited") == 0) return without_limit;
      if (const auto bytes = number_after(*text, "Max locked memory")) return bytes;
    }
  }
  ::rlimit limit{};
  if (!files.live() || ::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return {};
  return limit.rlim_cur == RLIM_INFINITY ? without_limit : std::uint64_t{limit.rlim_cur};
}

void look_at_memlock(const machine_files& files, std::vector<finding>& into) {
  finding f{.name = "memlock"};
  const auto limit = memlock_limit(files);
  f.numbers = {{"limit_bytes", nullptr}};
  if (!limit) {
    f.value = "the limit cannot be read";
    f.cost = "nobody can say how much memory may be pinned without a driver";
    f.fix = "ulimit -l";
  } else if (*limit == without_limit) {
    f.state = finding_state::good;
    f.value = "unlimited";
  } else {
    f.numbers = {{"limit_bytes", *limit}};
    f.state = finding_state::limited;
    f.value = bytes_text(*limit);
    f.cost = "pinned pools without a driver, and registered buffers of io_uring, end there";
    f.fix = "ulimit -l unlimited    # docker run --ulimit memlock=-1";
  }
  into.push_back(f);
}

void look_at_overcommit(const machine_files& files, std::vector<finding>& into) {
  finding f{.name = "overcommit"};
  const auto mode = files.read_number("/proc/sys/vm/overcommit_memory");
  f.numbers = {{"mode", nullptr}};
  if (!mode) {
    f.value = "/proc/sys/vm/overcommit_memory cannot be read";
    f.cost = "nobody can say whether large reservations of addresses are refused";
    f.fix = "sysctl vm.overcommit_memory";
  } else {
    f.numbers = {{"mode", *mode}};
    f.value = *mode == 0 ? "0: by heuristic" : *mode == 1 ? "1: always" : fmt::format("{}: never", *mode);
    f.state = *mode < 2 ? finding_state::good : finding_state::limited;
    if (f.state == finding_state::limited) {
      f.cost = "addresses that pools reserve to grow into count as memory, and are refused";
      f.fix = "sudo sysctl vm.overcommit_memory=1";
    }
  }
  into.push_back(f);
}

void look_at_maps(const machine_files& files, std::vector<finding>& into) {
  constexpr std::uint64_t enough = 262144;
  finding f{.name = "max_map_count"};
  const auto most = files.read_number("/proc/sys/vm/max_map_count");
  f.numbers = {{"mappings", nullptr}};
  if (!most) {
    f.value = "/proc/sys/vm/max_map_count cannot be read";
    f.cost = "nobody can say how many mappings a growing pool may have";
    f.fix = "sysctl vm.max_map_count";
  } else {
    f.numbers = {{"mappings", *most}};
    f.value = fmt::format("{} mappings", *most);
    f.state = *most >= enough ? finding_state::good : finding_state::limited;
    if (f.state == finding_state::limited) {
      f.cost = fmt::format("pools that put memory behind addresses in pieces of 2 MiB end at {}",
                           bytes_text(std::min(*most, enough) << 21));
      f.fix = "sudo sysctl vm.max_map_count=1048576";
    }
  }
  into.push_back(f);
}

}  // namespace

void look_at_memory(const machine_files& files, std::vector<finding>& into) {
  const std::uint64_t total = look_at_total(files, into);
  look_at_group(files, total, into);
  look_at_memlock(files, into);
  look_at_overcommit(files, into);
  look_at_maps(files, into);
}

}  // namespace program
