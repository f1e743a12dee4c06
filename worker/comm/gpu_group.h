// How the GPUs of a replica talk: NCCL when each rank has one of its own, else through the host; short all-reduces over
// peer memory where all ranks reach each other's. Decided from what all ranks tell, so that all decide the same.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "worker/comm/make.h"
#include "worker/comm/nccl.h"

namespace caudal {

// Where a rank computes.
struct GpuPlace {
  std::uint64_t host = 0;  // hash of its name
  std::int32_t bus = 0;    // the GPU's place on that host: PCI domain, bus and device
  std::int32_t gpu = 0;    // index of the GPU on that host
};

enum class GpuPath { kNccl, kStagedSharedGpu, kStagedNoNccl };

// Ranks that share a GPU can only talk through the host.
GpuPath choose_gpu_path(const std::vector<GpuPlace>& ranks, bool has_nccl);

// Why these ranks cannot use peer memory; empty when they can. reaches [size * size]: whether the GPU of rank r / size
// reaches the memory of rank r % size.
std::string peer_obstacle(const std::vector<GpuPlace>& ranks, const std::vector<std::uint8_t>& reaches);

// "rank 0: host 0 GPU 0, rank 1: host 0 GPU 1; over NCCL"
std::string describe_gpus(const std::vector<GpuPlace>& ranks, GpuPath path);

// make_nccl_communicator, or null in builds without NCCL.
using NcclMaker = Result<std::unique_ptr<Communicator>> (*)(cuda::CudaContext&, std::unique_ptr<Communicator> host,
                                                            bool ordered_sums);

// `backend` is a CUDA one. All ranks of `group` call it; it logs the mapping on rank 0.
Result<std::unique_ptr<Communicator>> make_gpu_communicator(Backend& backend, MPI_Comm group,
                                                            const CommOptions& options, NcclMaker make_nccl);

}  // namespace caudal
