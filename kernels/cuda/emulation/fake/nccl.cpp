// A stand-in for NCCL whose ranks are processes of one host, or threads of one process. A collective is work on each
// rank's stream; in it the ranks put their parts into shared memory, meet, read what the others have put, and meet
// again, as often as the message needs. A rank that is aborted makes the others fail.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <fcntl.h>
#include <nccl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "kernels/cuda/emulation/fake/device.h"

namespace caudal::fake {
namespace {

constexpr std::size_t kSlotBytes = 64 << 10;
constexpr std::size_t kMostRanks = 16;

// In pages that all ranks map; zero at first.
struct Group {
  std::atomic<int> size, joined, arrived;
  std::atomic<std::uint64_t> meetings;
  std::atomic<bool> broken;
  alignas(64) std::byte slots[kMostRanks][kSlotBytes];

  // False when somebody will not come any more.
  bool meet() {
    const std::uint64_t mine = meetings;
    if (arrived.fetch_add(1) + 1 == size) {
      arrived = 0;
      ++meetings;
    }
    while (meetings == mine && !broken) std::this_thread::sleep_for(std::chrono::microseconds(20));
    return !broken;
  }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

Group* map_group(int file) {
  void* memory = mmap(nullptr, sizeof(Group), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<Group*>(memory);
}

// Threads of one process share one mapping. Groups are few and small: they stay until the process ends.
struct Communicators {
  std::mutex mutex;
  std::map<std::string, Group*> groups;  // by what an id says: the path of the file
};
Communicators& communicators() {
  static Communicators& one = *new Communicators;
  return one;
}

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
  caudal::fake::Group* group = nullptr;
  int rank = 0;
};

namespace caudal::fake {
namespace {

// `combine(group, offset, bytes)` reads the slots and writes what this rank gets of that range.
template <typename Combine>
ncclResult_t collective(ncclComm_t comm, const void* send, std::size_t bytes, cudaStream_t stream, Combine combine) {
  if (enter("nccl") != cudaSuccess) return ncclUnhandledCudaError;
  count_launch();
  queue(stream, [group = comm->group, rank = comm->rank, send, bytes, combine] {
    for (std::size_t offset = 0; offset < bytes; offset += kSlotBytes) {
      const std::size_t count = std::min(kSlotBytes, bytes - offset);
      std::memcpy(group->slots[rank], static_cast<const std::byte*>(send) + offset, count);
      if (!group->meet()) return;
      combine(*group, offset, count);
      if (!group->meet()) return;
    }
  });
  return ncclSuccess;
}

}  // namespace
}  // namespace caudal::fake

using namespace caudal::fake;

const char* ncclGetErrorString(ncclResult_t result) { return result == ncclRemoteError ? "remote error" : "failed"; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (enter("ncclGetUniqueId") != cudaSuccess) return ncclSystemError;
  const int file = memfd_create("caudal-fake-nccl", MFD_CLOEXEC);  // open until the process ends, for the others
  if (file < 0 || ftruncate(file, sizeof(Group)) != 0) return ncclSystemError;
  std::snprintf(id->internal, sizeof id->internal, "/proc/%d/fd/%d", static_cast<int>(getpid()), file);
  return ncclSuccess;
}

// Others may not be there yet: the answer is "in progress" until they are.
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank, ncclConfig_t* config) {
  if (config->blocking != 0 || size > static_cast<int>(kMostRanks)) return ncclInvalidUsage;
  const std::lock_guard lock(communicators().mutex);
  Group*& group = communicators().groups[id.internal];
  if (group == nullptr) {
    const int file = open(id.internal, O_RDWR | O_CLOEXEC);
    if (file >= 0) group = map_group(file);
    if (file >= 0) close(file);
    if (group == nullptr) return ncclSystemError;
  }
  *comm = new ncclComm{group, rank};
  group->size = size;
  ++group->joined;
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  const Group& group = *comm->group;
  *state = group.broken ? ncclRemoteError : group.joined < group.size ? ncclInProgress : ncclSuccess;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclSuccess; }

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->group->broken = true;
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclRedOp_t,
                           ncclComm_t comm, cudaStream_t stream) {
  const std::size_t element = element_bytes(type);
  const bool backwards = settings().split_sums;
  return collective(comm, send, count * element, stream, [=](Group& group, std::size_t offset, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes / element; ++i) {
      float sum = 0.0F;
      for (int n = 0; n < group.size; ++n) sum += value_at(type, group.slots[backwards ? group.size - 1 - n : n], i);
      set_value(type, static_cast<std::byte*>(receive) + offset, i, sum);
    }
  });
}

ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  const std::size_t part = count * element_bytes(type);
  return collective(comm, send, part, stream, [=](Group& group, std::size_t offset, std::size_t bytes) {
    for (int r = 0; r < group.size; ++r)
      std::memcpy(static_cast<std::byte*>(receive) + r * part + offset, group.slots[r], bytes);
  });
}

ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return collective(comm, send, count * element_bytes(type), stream,
                    [=](Group& group, std::size_t offset, std::size_t bytes) {
                      std::memcpy(static_cast<std::byte*>(receive) + offset, group.slots[root], bytes);
                    });
}
