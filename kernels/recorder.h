// Recorder: what a device whose ops are queued can do once, at start, to make steps shorter. It chooses how matmuls are
// computed, and it records the ops of a step so that one call queues them all. Part of the backend; the step thread's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "common/result.h"
#include "kernels/attention_batch.h"
#include "kernels/device.h"
#include "kernels/linear.h"

namespace caudal {

// Ops that were recorded.
class Recording {
 public:
  virtual ~Recording() = default;
  // Queues the ops on what the recorded tensors hold now. `batch` has as many rows and sequences as the recorded one,
  // in the same memory.
  virtual void run(const AttentionBatch& batch) = 0;
  virtual std::size_t bytes() const = 0;  // device memory held
};

class Recorder {
 public:
  virtual ~Recorder() = default;

  // Chooses how out = linear(x) is computed for 1 to x.dim(0) rows. Overwrites `out`.
  virtual void choose_matmul(const Tensor& x, const Linear& weight, const Tensor& out) = 0;

  // Runs `ops` and records them: a step of at most `tokens` new tokens per sequence. An Error when the device cannot
  // record them; they can still be run one by one. Padding is recorded too: rows past query_start.back() belong to no
  // sequence and have a cache_slot below zero; rotation, cache and attention skip them.
  virtual Result<std::unique_ptr<Recording>> record(std::int64_t tokens, const std::function<void()>& ops) = 0;

  // The most new tokens per sequence that record() takes with such heads.
  virtual std::int64_t max_recorded_tokens(const HeadSizes& heads) const = 0;
};

}  // namespace caudal
