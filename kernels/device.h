// What a device is, and the sizes of the work it is to run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/tensor.h"

namespace caudal {

// Gathers the bytes of every rank, over whatever joined the ranks: all [size * mine.size()], rank after rank. All ranks
// call it, so it is also a meeting.
using GatherBytes = std::function<void(std::span<const std::byte> mine, std::span<std::byte> all)>;

struct BackendOptions {
  std::string device = "cpu";
  int num_threads = 0;              // cpu: 0 = as many as this process may run (common/host/host_cpus.h)
  std::vector<int> pinned_cores{};  // cpu: of each thread; empty = not pinned
  std::string
      max_isa;        // cpu: "" = best; "amx", "avx512_vnni", "avx512", "avx2" cap it (tests, and machines that differ)
  int gpu = 0;        // cuda: which of the host's GPUs
  bool tf32 = false;  // cuda: f32 matmuls may round their inputs to 19 bits (tensor cores)
  bool deterministic = false;  // cuda: rows depend on their own inputs only, as they always do on the CPU; slower
};

struct DeviceInfo {
  std::string name;  // "cpu: Intel Xeon, 2 threads, amx bf16"
  std::size_t total_memory_bytes = 0;
  std::size_t free_memory_bytes = 0;  // now
};

// Facts about a device by which the worker plans. They do not change while a backend lives.
struct DeviceTraits {
  bool is_host = false;  // its memory is the host's
  bool queues = false;   // ops return before they are done, so that the host can prepare the next step meanwhile
  // Attention kernels read whole tiles of keys and mask what is outside of the window. So this many keys before the
  // window must still be there.
  std::int32_t keys_before_window = 0;
  std::size_t allocation_unit = 1;  // bytes; allocate() takes a multiple of it from the memory plan
};

// The attention of a model's layers of one kind, on this rank.
struct HeadSizes {
  DType dtype = DType::kF32;  // of q and of the result
  DType kv_dtype = DType::kF32;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int32_t sliding_window = 0;  // as in AttentionParams

  bool operator==(const HeadSizes&) const = default;
};

// The largest step that a backend is to run, and the models' sizes on this rank.
struct StepSizes {
  std::int64_t max_tokens = 0;
  std::int64_t max_sequences = 0;
  std::int64_t vocab_size = 0;
  std::int64_t recorded_ops = 0;  // of all recordings together
  std::size_t row_in_bytes = 0;   // of the widest row that a matmul reads
  std::size_t row_out_bytes = 0;  // and of the widest that one writes
  std::vector<HeadSizes> heads;
};

}  // namespace caudal
