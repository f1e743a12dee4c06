#include "kernels/cuda/comm/gpu_group.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>

#include "common/log.h"
#include "kernels/comm/staged.h"
#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/cuda/comm/peer.h"

namespace caudal {
namespace {

GpuPlace place_of(const cuda::CudaContext& context) {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  const cudaDeviceProp& properties = context.properties();
  return {.host = std::hash<std::string>()(name.data()),
          .bus = properties.pciDomainID << 16 | properties.pciBusID << 8 | properties.pciDeviceID,
          .gpu = context.device()};
}

bool same_gpu(const GpuPlace& a, const GpuPlace& b) { return a.host == b.host && a.bus == b.bus; }

// Whether this rank's GPU reaches the other's memory. GPUs are found by their place on the bus: every process may count
// them differently, or not see all.
bool reaches_memory_of(const cuda::CudaContext& context, const GpuPlace& other) {
  const std::string bus =
      fmt::format("{:04x}:{:02x}:{:02x}.0", other.bus >> 16, other.bus >> 8 & 0xFF, other.bus & 0xFF);
  int device = 0, direct = 0;
  if (cudaDeviceGetByPCIBusId(&device, bus.c_str()) == cudaSuccess && device != context.device())
    cudaDeviceCanAccessPeer(&direct, context.device(), device);
  cudaGetLastError();  // a GPU that is not visible is an answer, no error
  return direct != 0;
}

// Which ranks reach which, known to all; rank 0 logs it: [size * size].
std::vector<std::uint8_t> exchange_reach(const cuda::CudaContext& context, const std::vector<GpuPlace>& ranks,
                                         std::size_t rank, const GatherBytes& gather) {
  std::vector<std::uint8_t> mine, all(ranks.size() * ranks.size());
  for (const GpuPlace& other : ranks)
    mine.push_back(other.host == ranks[rank].host && reaches_memory_of(context, other) ? 1 : 0);
  gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)));
  for (std::size_t a = 0; a < ranks.size() && rank == 0; ++a) {
    for (std::size_t b = a + 1; b < ranks.size(); ++b) {
      if (ranks[a].host != ranks[b].host || same_gpu(ranks[a], ranks[b])) continue;
      LOG_INFO("GPUs of ranks {} and {}: {}", a, b,
               all[a * ranks.size() + b] != 0 ? "direct (NVLink or PCIe)" : "through the host");
    }
  }
  return all;
}

}  // namespace

GpuPath choose_gpu_path(const std::vector<GpuPlace>& ranks, bool has_nccl) {
  for (std::size_t a = 0; a < ranks.size(); ++a)
    for (std::size_t b = a + 1; b < ranks.size(); ++b)
      if (same_gpu(ranks[a], ranks[b])) return GpuPath::kStagedSharedGpu;
  return has_nccl ? GpuPath::kNccl : GpuPath::kStagedNoNccl;
}

std::string describe_gpus(const std::vector<GpuPlace>& ranks, GpuPath path) {
  std::vector<std::uint64_t> hosts;
  std::vector<std::string> places;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    auto host = std::find(hosts.begin(), hosts.end(), ranks[r].host);
    if (host == hosts.end()) host = hosts.insert(hosts.end(), ranks[r].host);
    places.push_back(fmt::format("rank {}: host {} GPU {}", r, host - hosts.begin(), ranks[r].gpu));
  }
  const char* how = path == GpuPath::kNccl              ? "over NCCL"
                    : path == GpuPath::kStagedSharedGpu ? "through the host, because ranks share a GPU"
                                                        : "through the host, because this build has no NCCL";
  return fmt::format("{}; {}", fmt::join(places, ", "), how);
}

std::string peer_obstacle(const std::vector<GpuPlace>& ranks, const std::vector<std::uint8_t>& reaches) {
  if (ranks.size() > cuda::kMaxPeers) return fmt::format("more than {} ranks", cuda::kMaxPeers);
  for (std::size_t a = 0; a < ranks.size(); ++a) {
    for (std::size_t b = 0; b < ranks.size(); ++b) {
      if (a == b) continue;
      if (ranks[a].host != ranks[b].host) return "the ranks are on several hosts";
      if (same_gpu(ranks[a], ranks[b])) return "ranks share a GPU";
      if (reaches[a * ranks.size() + b] == 0)
        return fmt::format("GPU {} does not reach the memory of GPU {}", ranks[a].gpu, ranks[b].gpu);
    }
  }
  return "";
}

Result<std::unique_ptr<Communicator>> cuda::CudaBackend::make_communicator(std::unique_ptr<Communicator> host,
                                                                           const GatherBytes& gather,
                                                                           const CommOptions& options) {
  const std::size_t rank = host->rank();
  std::vector<GpuPlace> ranks(host->size());
  const GpuPlace mine = place_of(*context_);
  gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(ranks)));
  const GpuPath path = choose_gpu_path(ranks, make_nccl_ != nullptr);
  if (rank == 0) LOG_INFO("{}", describe_gpus(ranks, path));
  std::string obstacle = peer_obstacle(ranks, exchange_reach(*context_, ranks, rank, gather));
  if (!options.peer_memory) obstacle = "--no-peer-memory";

  std::unique_ptr<PeerMemory> memory;
  if (obstacle.empty()) {
    Result<std::unique_ptr<PeerMemory>> shared = PeerMemory::share(*context_, host->rank(), host->size(), gather);
    if (shared) memory = std::move(shared).value();
    if (!shared) obstacle = shared.error().message;
  }
  if (rank == 0) {
    LOG_INFO("all-reduces of up to {} KiB: {}", cuda::kMaxPeerBytes >> 10,
             memory ? "one-shot over peer memory" : fmt::format("as all others ({})", obstacle));
  }
  // For all that does not go over peer memory.
  Result<std::unique_ptr<Communicator>> base = path == GpuPath::kNccl
                                                   ? make_nccl_(*context_, std::move(host), options.ordered_sums)
                                                   : make_staged_communicator(*this, std::move(host));
  if (!base || !memory) return base;
  return make_peer_communicator(*context_, std::move(memory), std::move(base).value());
}

}  // namespace caudal
