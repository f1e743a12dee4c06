// A stand-in for NCCL whose ranks are threads of one process. A collective is work on each rank's stream; in it the
// ranks meet, read what the others show, meet again and write. A rank that is aborted or gone makes the others fail.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <nccl.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/cuda/fake/device.h"

namespace caudal::fake {
namespace {

struct Group {
  std::mutex mutex;
  std::condition_variable changed;
  int size = 0, joined = 0, arrived = 0;
  std::uint64_t meetings = 0;
  bool broken = false;
  std::vector<const void*> shown;

  // False when somebody did not come.
  bool meet() {
    std::unique_lock lock(mutex);
    const std::uint64_t mine = meetings;
    if (++arrived == size) {
      arrived = 0;
      ++meetings;
      changed.notify_all();
      return !broken;
    }
    changed.wait(lock, [&] { return meetings != mine || broken; });
    return !broken;
  }
  void tear() {
    const std::lock_guard lock(mutex);
    broken = true;
    changed.notify_all();
  }
};

std::mutex registry_mutex;
std::map<std::string, std::shared_ptr<Group>> registry;

std::size_t element_bytes(ncclDataType_t type) { return type == ncclFloat16 || type == ncclBfloat16 ? 2 : 4; }

float value_at(ncclDataType_t type, const void* data, std::size_t i) {
  if (type == ncclBfloat16) return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
  if (type == ncclFloat16) return __half2float(static_cast<const __half*>(data)[i]);
  return static_cast<const float*>(data)[i];
}

__half to_half(float value) {
  if (value == value) return __float2half(value);
  return std::bit_cast<__half>(static_cast<std::uint16_t>(std::signbit(value) ? 0xFE00 : 0x7E00));  // one NaN of many
}

void set_value(ncclDataType_t type, void* data, std::size_t i, float value) {
  if (type == ncclBfloat16) {
    static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16(value);
  } else if (type == ncclFloat16) {
    static_cast<__half*>(data)[i] = to_half(value);
  } else {
    static_cast<float*>(data)[i] = value;
  }
}

}  // namespace
}  // namespace caudal::fake

struct ncclComm {
  std::shared_ptr<caudal::fake::Group> group;
  int rank = 0;
};

namespace caudal::fake {
namespace {

// `compute` reads what all ranks show and returns this rank's result, which is copied to `receive` when all have read.
template <typename Compute>
ncclResult_t collective(ncclComm_t comm, const void* send, void* receive, cudaStream_t stream, Compute compute) {
  if (enter("nccl") != cudaSuccess) return ncclUnhandledCudaError;
  count_launch();
  queue(stream, [group = comm->group, rank = comm->rank, send, receive, compute] {
    group->shown[static_cast<std::size_t>(rank)] = send;
    if (!group->meet()) return;
    const std::vector<std::byte> result = compute(*group);
    if (group->meet()) std::memcpy(receive, result.data(), result.size());
  });
  return ncclSuccess;
}

}  // namespace
}  // namespace caudal::fake

using namespace caudal::fake;

const char* ncclGetErrorString(ncclResult_t result) { return result == ncclRemoteError ? "remote error" : "failed"; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> next{0};
  if (enter("ncclGetUniqueId") != cudaSuccess) return ncclSystemError;
  std::snprintf(id->internal, sizeof id->internal, "group %d", next++);
  return ncclSuccess;
}

// Others may not be there yet: the answer is "in progress" until they are.
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank, ncclConfig_t* config) {
  if (config->blocking != 0) return ncclInvalidUsage;
  const std::lock_guard lock(registry_mutex);
  std::shared_ptr<Group>& group = registry[id.internal];
  if (!group) group = std::make_shared<Group>();
  *comm = new ncclComm{group, rank};
  const std::lock_guard group_lock(group->mutex);
  group->size = size;
  group->shown.resize(static_cast<std::size_t>(size));
  ++group->joined;
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  const std::lock_guard lock(comm->group->mutex);
  *state = comm->group->broken                            ? ncclRemoteError
           : comm->group->joined < comm->group->size ? ncclInProgress
                                                           : ncclSuccess;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclSuccess; }

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->group->tear();
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclRedOp_t,
                           ncclComm_t comm, cudaStream_t stream) {
  return collective(comm, send, receive, stream, [count, type](const Group& group) {
    std::vector<std::byte> result(count * element_bytes(type));
    for (std::size_t i = 0; i < count; ++i) {
      float sum = 0.0F;
      for (const void* part : group.shown) sum += value_at(type, part, i);
      set_value(type, result.data(), i, sum);
    }
    return result;
  });
}

ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return collective(comm, send, receive, stream, [bytes = count * element_bytes(type)](const Group& group) {
    std::vector<std::byte> result;
    for (const void* part : group.shown)
      result.insert(result.end(), static_cast<const std::byte*>(part), static_cast<const std::byte*>(part) + bytes);
    return result;
  });
}

ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return collective(comm, send, receive, stream, [bytes = count * element_bytes(type), root](const Group& group) {
    const auto* part = static_cast<const std::byte*>(group.shown[static_cast<std::size_t>(root)]);
    return std::vector<std::byte>(part, part + bytes);
  });
}
