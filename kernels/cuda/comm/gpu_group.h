// How the GPUs of a replica talk: NCCL when each rank has one of its own, else through the host; short all-reduces over
// peer memory where all ranks reach each other's. Every rank decides from the same gathered facts, so all decide alike.
// CudaBackend::make_communicator is in gpu_group.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

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

}  // namespace caudal
