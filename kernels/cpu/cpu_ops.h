// The ops of kernels/ops.h on the CPU, each in the file of its family. The op has passed its check. Each splits its
// rows over the threads of the context and is done when it returns.
#pragma once

#include "kernels/cpu/cpu_context.h"
#include "kernels/ops.h"

namespace caudal {

inline constexpr std::int64_t kKvTile = 64;  // keys that paged attention reads at once, from multiples of it on

void compute(CpuContext& context, const op::Embedding& o);
void compute(CpuContext& context, const op::RmsNorm& o);
void compute(CpuContext& context, const op::AddRmsNorm& o);
void compute(CpuContext& context, const op::Matmul& o);
void compute(CpuContext& context, const op::SiluAndMul& o);
void compute(CpuContext& context, const op::RopeAndCache& o);
void compute(CpuContext& context, const op::PagedAttention& o);
void compute(CpuContext& context, const op::GatherRows& o);
void compute(CpuContext& context, const op::InsertSampled& o);

}  // namespace caudal
