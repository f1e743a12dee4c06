// PlannedGpu: a GPU that need not be there, for memory plans. It answers what the CUDA backend answers about memory,
// and computes nothing: what needs a device aborts.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/cuda/attention/attention_plan.h"

namespace caudal::cuda {

// One GPU per rank, joined by NCCL. `name` is for people.
std::unique_ptr<Backend> make_planned_gpu(const std::string& name, const AttentionDevice& device, bool deterministic);

// H100 and H200 with SXM, which plans are made for unless told otherwise.
inline constexpr AttentionDevice kHopper = {.num_sms = 132, .compute_capability = 90, .shared_bytes_per_sm = 228 << 10};

}  // namespace caudal::cuda
