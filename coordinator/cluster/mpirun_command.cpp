#include "coordinator/cluster/mpirun_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "common/host/host_cpus.h"
#include "common/wire.h"

namespace caudal {
namespace {

std::string_view name_of(std::string_view argument) {
  return argument.starts_with("--") ? argument.substr(0, argument.find('=')) : std::string_view();
}

bool names(const std::vector<std::string>& arguments, std::string_view name) {
  return std::ranges::any_of(arguments, [name](const std::string& argument) { return name_of(argument) == name; });
}

// Of `--name=4` or `--name 4`; what is no number is the worker's to refuse.
std::optional<int> number_of(const std::vector<std::string>& arguments, std::string_view name) {
  const auto at = std::ranges::find_if(arguments, [name](const std::string& a) { return name_of(a) == name; });
  if (at == arguments.end()) return std::nullopt;
  std::string_view value = *at;
  value.remove_prefix(std::min(name.size() + 1, value.size()));
  if (at->size() == name.size() && at + 1 != arguments.end()) value = at[1];
  int number = 0;
  const auto [end, wrong] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (wrong != std::errc() || end != value.data() + value.size()) return std::nullopt;
  return number;
}

// Several replicas share this host: each gets its own cores, one NUMA node after the other, and its share of the
// memory.
std::vector<std::string> share_of_host(const LaunchConfig& config, int replica) {
  const int ranks = config.num_replicas * config.tensor_parallel_size;
  const HostCpus cpus = host_cpus();
  const int wanted = number_of(config.operator_args, "--threads").value_or(0);
  const int threads = wanted > 0 ? wanted : std::max(1, cpus.num_threads / ranks);
  const auto before = std::size_t{1} * replica * config.tensor_parallel_size * threads;
  const int first_core = cpus.cores[before % cpus.cores.size()];
  std::vector<std::string> share;
  const auto add = [&](const char* name, int value) {
    if (!names(config.operator_args, name)) share.insert(share.end(), {name, std::to_string(value)});
  };
  add("--threads", threads);
  add("--first-core", first_core);
  add("--ranks-on-host", ranks);
  return share;
}

}  // namespace

Result<void> check_operator_args(const LaunchConfig& config) {
  for (const std::string& argument : config.operator_args) {
    const std::string_view name = name_of(argument);
    if (name.empty()) continue;
    if (name == "--coordinator" || name == "--tensor-parallel" || names(config.worker_args, name)) {
      return Error{fmt::format("{} is given to workers by the coordinator, from an option of its own", name),
                   "worker-arg"};
    }
  }
  return {};
}

std::vector<std::string> mpirun_command(const LaunchConfig& config, const std::string& endpoint, int replica,
                                        const std::string& hosts, const std::string& folder) {
  const std::string ranks = std::to_string(config.tensor_parallel_size);
  std::vector<std::string> command = {
      "mpirun", "--quiet", "--oversubscribe", "--bind-to", "none", "-x", fmt::format("{}=1", kLaunchedVariable)};
  const auto append = [&](const std::vector<std::string>& arguments) {
    command.insert(command.end(), arguments.begin(), arguments.end());
  };
  if (geteuid() == 0) append({"--allow-run-as-root"});
  if (!hosts.empty()) append({"--host", hosts});
  if (!folder.empty()) append({"--mca", "orte_tmpdir_base", folder, "--mca", "btl_vader_backing_directory", folder});
  append({"-np", ranks, config.worker_path, "--coordinator", endpoint, "--tensor-parallel", ranks});
  if (hosts.empty() && config.num_replicas > 1) append(share_of_host(config, replica));
  append(config.worker_args);
  append(config.operator_args);
  return command;
}

}  // namespace caudal
