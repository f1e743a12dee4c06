#include "worker/comm/gpu_group.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>

#include "common/log.h"
#include "kernels/cuda/cuda_backend.h"
#include "worker/comm/mpi.h"
#include "worker/comm/staged.h"

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

// What this rank's GPU can reach directly, of the host's other ranks.
void log_peers(const cuda::CudaContext& context, int rank, const std::vector<GpuPlace>& ranks) {
  const GpuPlace& mine = ranks[static_cast<std::size_t>(rank)];
  for (std::size_t r = static_cast<std::size_t>(rank) + 1; r < ranks.size(); ++r) {
    if (ranks[r].host != mine.host || same_gpu(ranks[r], mine)) continue;
    int direct = 0;
    cudaDeviceCanAccessPeer(&direct, context.device(), ranks[r].gpu);
    LOG_INFO("GPU {} and GPU {}: {}", mine.gpu, ranks[r].gpu, direct != 0 ? "direct (NVLink or PCIe)" : "through the host");
  }
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
  const char* how = path == GpuPath::kNccl            ? "over NCCL"
                    : path == GpuPath::kStagedSharedGpu ? "through the host, because ranks share a GPU"
                                                        : "through the host, because this build has no NCCL";
  return fmt::format("{}; {}", fmt::join(places, ", "), how);
}

Result<std::unique_ptr<Communicator>> make_gpu_communicator(Backend& backend, MPI_Comm group, NcclMaker make_nccl) {
  cuda::CudaContext& context = static_cast<cuda::CudaBackend&>(backend).context();
  int rank = 0, size = 1;
  MPI_Comm_rank(group, &rank);
  MPI_Comm_size(group, &size);
  std::vector<GpuPlace> ranks(static_cast<std::size_t>(size));
  const GpuPlace mine = place_of(context);
  MPI_Allgather(&mine, sizeof mine, MPI_BYTE, ranks.data(), sizeof mine, MPI_BYTE, group);
  const GpuPath path = choose_gpu_path(ranks, make_nccl != nullptr);
  if (rank == 0) LOG_INFO("{}", describe_gpus(ranks, path));
  log_peers(context, rank, ranks);
  if (path != GpuPath::kNccl) return make_staged_communicator(backend, make_mpi_communicator(group));
  return make_nccl(context, rank, size, [group](std::span<std::byte> bytes) {
    MPI_Bcast(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, 0, group);
  });
}

}  // namespace caudal
