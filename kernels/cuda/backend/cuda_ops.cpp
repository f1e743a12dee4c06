// The ops of the CUDA device: which kernel or library call each is.
#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/cuda/attention/plain_attention.h"
#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/cuda/backend/cuda_copy_stream.h"
#include "kernels/cuda/emulation/simt/simt.h"
#include "kernels/cuda/ops/ops.h"
#include "kernels/expect.h"
#include "kernels/half_float.h"

namespace caudal::cuda {
namespace {

AttentionShape shape_of(const Tensor& q, const Tensor& k_cache) {
  return {.num_heads = static_cast<int>(q.dim(1)),
          .num_kv_heads = static_cast<int>(k_cache.dim(2)),
          .head_dim = static_cast<int>(q.dim(2)),
          .dtype = q.dtype()};
}

bool same(const AttentionShape& a, const AttentionShape& b) {
  return a.num_heads == b.num_heads && a.num_kv_heads == b.num_kv_heads && a.head_dim == b.head_dim &&
         a.dtype == b.dtype;
}

template <typename T>
bool equal(std::span<const T> a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace

// Launches on the stream. A launch that is refused is an error of the device, not of the caller.
void CudaBackend::run(const std::function<void(cudaStream_t)>& launch) {
  if (!ready()) return;
  try {
    launch(context_->stream());
  } catch (const simt::Error& error) {
    context_->fail(error.what());
  }
}

// The parts as values of `dtype` that were rounded to it, then to `out_dtype`. A few rows at a time, through the ring.
Result<Buffer> CudaBackend::upload(std::span<const StoredPart> parts, DType dtype, DType out_dtype) {
  constexpr std::size_t kBytesAtOnce = std::size_t{4} << 20;
  const std::int64_t rows = total_rows(parts), columns = parts.front().columns;
  const std::size_t row_values = columns;
  const std::int64_t at_once =
      std::clamp<std::int64_t>(static_cast<std::int64_t>(kBytesAtOnce / (row_values * sizeof(float))), 1, rows);
  Result<Buffer> memory = allocate(static_cast<std::size_t>(rows) * row_values * dtype_bytes(out_dtype));
  if (!memory) return memory;
  const Tensor whole = memory.value().tensor(out_dtype, {rows, columns});
  std::vector<std::byte> read(static_cast<std::size_t>(at_once) * row_values * dtype_bytes(dtype)), converted;
  for (std::int64_t first = 0; first < rows; first += at_once) {
    const std::int64_t count = std::min(at_once, rows - first);
    read_rows(parts, first, count, dtype, read.data());
    if (dtype != out_dtype) {
      converted.resize(static_cast<std::size_t>(at_once) * row_values * dtype_bytes(out_dtype));
      convert(dtype, read.data(), static_cast<std::size_t>(count) * row_values, out_dtype, converted.data());
    }
    copy_to_device(dtype == out_dtype ? read.data() : converted.data(), whole.rows(first, count));
  }
  return memory;
}

// cuBLASLt wants a bias in the dtype of the result: that of x, or f32.
Result<std::unique_ptr<Linear>> CudaBackend::pack_linear(const LinearSource& source) {
  const std::int64_t rows = total_rows(source.weight);
  std::vector<Buffer> memory;
  const auto add = [&](std::span<const StoredPart> parts, DType out_dtype) -> Result<void> {
    Result<Buffer> buffer = upload(parts, source.dtype, out_dtype);
    if (!buffer) return buffer.error();
    memory.push_back(std::move(buffer).value());
    return {};
  };
  if (Result<void> added = add(source.weight, source.dtype); !added) return added.error();
  const Tensor weight = memory[0].tensor(source.dtype, {rows, source.weight.front().columns});
  Tensor bias, bias_f32;
  if (total_rows(source.bias) > 0) {
    CHECK(total_rows(source.bias) == rows);
    for (const DType dtype : {source.dtype, DType::kF32})
      if (Result<void> added = add(source.bias, dtype); !added) return added.error();
    bias = memory[1].tensor(source.dtype, {rows});
    bias_f32 = memory[2].tensor(DType::kF32, {rows});
  }
  return std::unique_ptr<Linear>(std::make_unique<CudaLinear>(weight, bias, bias_f32, std::move(memory)));
}

void CudaBackend::compute(const Op& op) {
  std::visit([this](const auto& o) { launch(o); }, op);
}

template <typename RowOp>
void CudaBackend::launch(const RowOp& o) {
  run([&](cudaStream_t stream) { cuda::launch(o, stream); });
}

static const CudaLinear& cuda_linear(const Linear& linear) {
  return static_cast<const CudaLinear&>(linear);  // made by pack_linear above
}

void CudaBackend::launch(const op::Embedding& o) {
  run([&](cudaStream_t stream) { cuda::launch(o, cuda_linear(*o.table).weight(), stream); });
}

void CudaBackend::launch(const op::Matmul& o) {
  const CudaLinear& weight = cuda_linear(*o.weight);
  if (o.x.dim(0) == 0) return;
  deterministic_ ? linear_in_tiles(o.x, weight, o.out) : matmul_->run(o.x, weight, o.out);
}

void CudaBackend::choose_matmul(const Tensor& x, const Linear& weight, const Tensor& out) {
  const CudaLinear& packed = cuda_linear(weight);
  // When deterministic, nothing is chosen by its time, which differs from day to day: one matmul makes the library
  // choose.
  deterministic_ ? linear_in_tiles(x.rows(0, 1), packed, out.rows(0, 1)) : matmul_->choose(x, packed, out);
}

void CudaBackend::copy_blocks(std::span<const BlockPair> copies, const Tensor& from, const Tensor& to) {
  check_copy_blocks(copies, from, to);
  queue_copies(*context_, context_->stream(), copies, from, to);
}

std::unique_ptr<CopyStream> CudaBackend::make_copy_stream() { return std::make_unique<CudaCopyStream>(*context_); }

const AttentionGeometry& CudaBackend::geometry_of(const AttentionShape& shape) {
  for (const AttentionGeometry& known : geometries_)
    if (same(known.shape, shape)) return known;
  return geometries_.emplace_back(needs_.geometry(shape));
}

void CudaBackend::prepare_attention(const StepSizes& sizes) {
  std::size_t workspace = 0;
  for (const HeadSizes& heads : sizes.heads) {
    if (!on_tensor_cores(shape_of(heads))) continue;
    const AttentionGeometry& geometry = geometry_of(shape_of(heads));
    workspace = std::max(workspace, attention_workspace_bytes(geometry));
    plan_words_ = std::max(plan_words_, max_plan_words(geometry, sizes.max_sequences, sizes.max_tokens));
  }
  grow(attention_workspace_, workspace);
}

// Those whose attention is all the decode kernel's; the plain kernel and whole rows take any number.
CudaBackend::PlacedPlan& CudaBackend::plan_for(const AttentionGeometry& geometry, std::int32_t window) {
  for (PlacedPlan& known : plans_)
    if (known.geometry == &geometry && known.window == window) return known;
  PlacedPlan& plan = plans_.emplace_back();
  plan.geometry = &geometry;
  plan.window = window;
  return plan;
}

bool CudaBackend::place(PlacedPlan& plan, const AttentionBatch& batch) {
  if (plan.words.data() != nullptr && equal(batch.query_start_host, plan.query_start) &&
      equal(batch.context_length_host, plan.context_length))
    return true;
  AttentionPlan made = plan_attention(*plan.geometry, batch.query_start_host, batch.context_length_host, plan.window);
  plan.query_start.assign(batch.query_start_host.begin(), batch.query_start_host.end());
  plan.context_length.assign(batch.context_length_host.begin(), batch.context_length_host.end());
  plan.grid = made.grid;
  if (!grow(plan.words, std::max(plan_words_, made.words.size()) * sizeof(std::int32_t))) return false;
  copy_to_device(made.words.data(), plan.words.tensor(DType::kI32, {std::ssize(made.words)}));
  return true;
}

void CudaBackend::launch(const op::PagedAttention& o) {
  if (o.q.dim(0) == 0 || !ready()) return;
  const AttentionShape shape = shape_of(o.q, o.k_cache);
  if (!on_tensor_cores(shape)) {
    Expect(o.kName).that(o.q.dim(2) <= kPlainAttentionMaxHeadDim, "head_dim must be at most 256");
    return run([&](cudaStream_t stream) { plain_attention(o, stream); });
  }
  const AttentionGeometry& geometry = geometry_of(shape);
  PlacedPlan& plan = plan_for(geometry, o.params.sliding_window);
  const bool captures = recording_ != nullptr && recording_->capturing;
  if ((!captures && !place(plan, o.batch)) || !grow(attention_workspace_, attention_workspace_bytes(geometry))) return;
  const AttentionGrid grid = recording_ != nullptr ? recorded_grid(plan) : plan.grid;
  run([&](cudaStream_t stream) {
    const AttentionCall call{.q = o.q,
                             .k_cache = o.k_cache,
                             .v_cache = o.v_cache,
                             .block_table = o.batch.block_table,
                             .out = o.out,
                             .params = o.params,
                             .plan_words = static_cast<const std::int32_t*>(plan.words.data()),
                             .workspace = attention_workspace_.data()};
    cuda::paged_attention(geometry, grid, call, stream);
  });
}

}  // namespace caudal::cuda
