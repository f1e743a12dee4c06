// Making the CPU device, and what it says about itself.
#include "kernels/cpu/cpu_backend.h"

#include <fmt/core.h>

#include <fstream>

#include "kernels/comm/communicator.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/make_cpu.h"
#include "kernels/cpu/memory.h"

namespace caudal {
namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name") && line.find(": ") != std::string::npos) return line.substr(line.find(": ") + 2);
  }
  return "unknown";
}

}  // namespace

Result<std::unique_ptr<Backend>> make_cpu_backend(const BackendOptions& options) {
  const Result<Isa> isa = choose_isa(options.max_isa);
  if (!isa.ok()) return isa.error();
  Result<std::vector<int>> cores = choose_cores(options.num_threads, options.pinned_cores);
  if (!cores.ok()) return cores.error();
  const std::size_t num_threads = cores.value().size();
  try {
    auto context = std::make_unique<CpuContext>(std::move(cores).value(), isa.value());
    return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(std::move(context)));
  } catch (const std::system_error&) {
    return Error{fmt::format("the system does not let this user start {} threads (ulimit -u, or a control group's "
                             "pids.max): allow more processes, or compute with fewer threads",
                             num_threads),
                 "num_threads"};
  }
}

DeviceInfo CpuBackend::info() const {
  const HostMemory memory = host_memory();
  DeviceInfo info;
  info.name = fmt::format("cpu: {}, {} threads, {}", cpu_model(), context_->num_threads(), isa_name(context_->isa()));
  info.total_memory_bytes = memory.total_bytes;
  info.free_memory_bytes = memory.free_bytes;
  return info;
}

DeviceTraits CpuBackend::traits() const {
  return {.is_host = true, .queues = false, .keys_before_window = kKvTile, .allocation_unit = 1};
}

// Its memory is the host's.
Result<std::unique_ptr<Communicator>> CpuBackend::make_communicator(std::unique_ptr<Communicator> host,
                                                                    const GatherBytes&, const CommOptions&) {
  return host;
}

void CpuBackend::compute(const Op& op) {
  std::visit([this](const auto& o) { caudal::compute(*context_, o); }, op);
}

Result<Buffer> CpuBackend::allocate(std::size_t bytes) { return caudal::allocate_host(bytes); }

}  // namespace caudal
