#include "common/host/host_cpus.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

namespace caudal {
namespace {

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

// Calls fn(core) for each of a list such as "0-3,8,10-11".
template <typename Fn>
void for_each_core(std::string_view list, const Fn& fn) {
  const char* at = list.data();
  const char* const end = at + list.size();
  while (at < end) {
    int first = 0;
    std::from_chars_result read = std::from_chars(at, end, first);
    if (read.ec != std::errc()) return;
    int last = first;
    if (read.ptr < end && *read.ptr == '-') read = std::from_chars(read.ptr + 1, end, last);
    for (int core = first; core <= last; ++core) fn(core);
    at = read.ptr + 1;
  }
}

// NUMA node of each core, where the system says it (Linux, Documentation/admin-guide/mm/numaperf).
std::map<int, int> node_of_cores(const std::filesystem::path& root) {
  std::map<int, int> nodes;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(root / "sys/devices/system/node", missing)) {
    const std::string name = entry.path().filename();
    int node = 0;
    if (!name.starts_with("node") || std::from_chars(&name[4], name.data() + name.size(), node).ec != std::errc())
      continue;
    for_each_core(read_text(entry.path() / "cpulist"), [&](int core) { nodes[core] = node; });
  }
  return nodes;
}

// Processors by a control group's files: "QUOTA PERIOD" in microseconds, or "max PERIOD" (version 2, cpu.max).
double quota_of(const std::string& quota_and_period) {
  std::istringstream in(quota_and_period);
  double quota = 0, period = 0;
  return in >> quota >> period && quota > 0 && period > 0 ? quota / period : kNoQuota;
}

// Every group from `group` up to `top` limits what is in it.
double least_quota(const std::filesystem::path& top, const std::filesystem::path& group) {
  double least = kNoQuota;
  std::filesystem::path at = top / group.relative_path();
  while (true) {
    const std::string version1 = read_text(at / "cpu.cfs_quota_us") + " " + read_text(at / "cpu.cfs_period_us");
    least = std::min({least, quota_of(read_text(at / "cpu.max")), quota_of(version1)});
    if (at == top || !at.has_relative_path()) return least;
    at = at.parent_path();
  }
}

// Lines of /proc/self/cgroup: "0::/path" (version 2), "4:cpu,cpuacct:/path" (version 1). In a container the path may
// be the host's, which is not there; then the group is at the top.
double quota(const std::filesystem::path& root) {
  const std::filesystem::path groups = root / "sys/fs/cgroup";
  double least = kNoQuota;
  std::istringstream lines(read_text(root / "proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    const bool cpu = ("," + controllers + ",").find(",cpu,") != std::string::npos;
    if (controllers.empty()) least = std::min(least, least_quota(groups, group));
    if (cpu) least = std::min({least, least_quota(groups / controllers, group), least_quota(groups / "cpu", group)});
  }
  return least;
}

}  // namespace

HostCpus host_cpus(const std::filesystem::path& root) {
  HostCpus cpus{.cores = allowed_cores()};
  std::map<int, int> nodes = node_of_cores(root);
  std::ranges::stable_sort(cpus.cores, {}, [&](int core) { return nodes[core]; });
  for (std::size_t i = 1; i < cpus.cores.size(); ++i)
    cpus.num_nodes += nodes[cpus.cores[i]] != nodes[cpus.cores[i - 1]];
  const double limit = std::min(quota(root), static_cast<double>(cpus.cores.size()));
  cpus.num_threads = std::max(1, static_cast<int>(limit));
  return cpus;
}

}  // namespace caudal
