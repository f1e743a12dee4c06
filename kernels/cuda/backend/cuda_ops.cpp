// The ops of the CUDA device: which kernel or library call each is.
#include <cuda_fp16.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "kernels/bf16.h"
#include "kernels/cuda/attention/plain_attention.h"
#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/cuda/emulation/simt/simt.h"
#include "kernels/cuda/ops/ops.h"
#include "kernels/expect.h"

namespace caudal::cuda {
namespace {

constexpr std::size_t kMaxPlans = 4;  // of a step: with and without a sliding window, of a model and its draft model

AttentionShape shape_of(const Tensor& q, const Tensor& k_cache) {
  return {.num_heads = static_cast<int>(q.dim(1)),
          .num_kv_heads = static_cast<int>(k_cache.dim(2)),
          .head_dim = static_cast<int>(q.dim(2)),
          .dtype = q.dtype()};
}

AttentionShape shape_of(const HeadSizes& sizes) {
  return {.num_heads = static_cast<int>(sizes.num_heads),
          .num_kv_heads = static_cast<int>(sizes.num_kv_heads),
          .head_dim = static_cast<int>(sizes.head_dim),
          .dtype = sizes.dtype};
}

bool same(const AttentionShape& a, const AttentionShape& b) {
  return a.num_heads == b.num_heads && a.num_kv_heads == b.num_kv_heads && a.head_dim == b.head_dim &&
         a.dtype == b.dtype;
}

// What the tensor-core kernels are made for; plain_attention takes the rest.
bool on_tensor_cores(const AttentionShape& shape) {
  if (shape.dtype != DType::kBF16 && shape.dtype != DType::kF16) return false;
  for (const int head_dim : {64, 80, 96, 128, 256})
    if (shape.head_dim == head_dim) return true;
  return false;
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

Result<std::unique_ptr<Linear>> CudaBackend::pack_linear(OwnedTensor weight, OwnedTensor bias) {
  Dim out_features("out_features"), in_features("in_features");
  Expect expect("pack_linear");
  expect.shape("weight", weight.tensor, {out_features, in_features});
  std::vector<Buffer> memory;
  const auto keep = [&](OwnedTensor& part) -> Result<Tensor> {
    if (part.tensor.empty() || part.buffer.data() != nullptr) {
      if (!part.tensor.empty()) memory.push_back(std::move(part.buffer));
      return part.tensor;
    }
    const Tensor& from = part.tensor;
    const std::int64_t rows = from.rank() == 2 ? from.dim(0) : 1, columns = from.elements() / rows;
    const std::size_t element = dtype_bytes(from.dtype()), width = static_cast<std::size_t>(columns) * element;
    Result<Buffer> copy = allocate(from.bytes());
    if (!copy) return copy.error();
    context_->check(cudaMemcpy2DAsync(copy.value().data(), width, from.data(),
                                      rows > 1 ? static_cast<std::size_t>(from.stride0()) * element : width, width,
                                      static_cast<std::size_t>(rows), cudaMemcpyDefault, context_->stream()),
                    "copying a weight");
    memory.push_back(std::move(copy).value());
    return Tensor(memory.back().data(), from.dtype(), {rows, columns});
  };
  const Result<Tensor> matrix = keep(weight);
  if (!matrix) return matrix.error();
  Result<Tensor> vector = keep(bias);
  if (!vector) return vector.error();
  if (bias.tensor.empty())
    return std::unique_ptr<Linear>(std::make_unique<CudaLinear>(matrix.value(), Tensor(), Tensor(), std::move(memory)));
  expect.that(bias.tensor.elements() == *out_features && bias.tensor.dtype() == weight.tensor.dtype(), "bias");
  Result<OwnedTensor> wide = widened(vector.value().reshaped({*out_features}));
  if (!wide) return wide.error();
  const Tensor bias_f32 = wide.value().tensor;
  memory.push_back(std::move(wide.value().buffer));
  return std::unique_ptr<Linear>(std::make_unique<CudaLinear>(matrix.value(), vector.value().reshaped({*out_features}),
                                                              bias_f32, std::move(memory)));
}

// For results in f32, cuBLASLt wants the bias in f32. Through the host: it happens once per weight at start.
Result<OwnedTensor> CudaBackend::widened(const Tensor& vector) {
  const std::int64_t n = vector.dim(0);
  std::vector<std::uint16_t> narrow(vector.bytes() / 2);
  std::vector<float> wide(static_cast<std::size_t>(n));
  Result<Buffer> memory = allocate(wide.size() * sizeof(float));
  if (!memory) return memory.error();
  const Tensor result(memory.value().data(), DType::kF32, {n});
  copy_to_host(vector, narrow.data());
  synchronize();
  if (vector.dtype() == DType::kF32) std::memcpy(wide.data(), narrow.data(), vector.bytes());
  for (std::size_t i = 0; i < wide.size() && vector.dtype() != DType::kF32; ++i) {
    const bool bf16 = vector.dtype() == DType::kBF16;
    wide[i] = bf16 ? to_float(BF16{narrow[i]}) : __half2float(std::bit_cast<__half>(narrow[i]));
  }
  copy_to_device(wide.data(), result);
  synchronize();
  return OwnedTensor(std::move(memory).value(), result);
}

void CudaBackend::compute(const Op& op) {
  std::visit([this](const auto& o) { launch(o); }, op);
}

template <typename RowOp>
void CudaBackend::launch(const RowOp& o) {
  run([&](cudaStream_t stream) { cuda::launch(o, stream); });
}

void CudaBackend::launch(const op::Matmul& o) {
  const auto& weight = static_cast<const CudaLinear&>(*o.weight);  // made by pack_linear above
  if (o.x.dim(0) == 0) return;
  deterministic_ ? linear_in_tiles(o.x, weight, o.out) : matmul_->run(o.x, weight, o.out);
}

void CudaBackend::choose_matmul(const Tensor& x, const Linear& weight, const Tensor& out) {
  const auto& packed = static_cast<const CudaLinear&>(weight);
  // When deterministic, nothing is chosen by its time, which differs from day to day: one matmul makes the library
  // choose.
  deterministic_ ? linear_in_tiles(x.rows(0, 1), packed, out.rows(0, 1)) : matmul_->choose(x, packed, out);
}

// A copy may read what an earlier one wrote, so they stay in order. Those inside a cache are few (forked sequences); of
// those to and from the host, what is in a row on both sides goes at once.
void CudaBackend::copy_blocks(std::span<const BlockCopy> copies, const Tensor& from, const Tensor& to) {
  check_copy_blocks(copies, from, to);
  const bool is_fork = from.data() == to.data();
  while (!copies.empty() && ready()) {
    const BlockCopy first = copies.front();
    std::int32_t run = 1;
    const auto goes_on = [&](const BlockCopy& next) {
      return next.source == first.source + run && next.destination == first.destination + run;
    };
    while (!is_fork && run < std::ssize(copies) && goes_on(copies[static_cast<std::size_t>(run)])) ++run;
    copies = copies.subspan(static_cast<std::size_t>(run));
    const Tensor source = from.rows(first.source, run), destination = to.rows(first.destination, run);
    if (source.data() == destination.data()) continue;
    context_->check(
        cudaMemcpyAsync(destination.data(), source.data(), source.bytes(), cudaMemcpyDefault, context_->stream()),
        "copying KV blocks");
  }
}

const AttentionGeometry& CudaBackend::geometry_of(const AttentionShape& shape) {
  for (const AttentionGeometry& known : geometries_)
    if (same(known.shape, shape)) return known;
  return geometries_.emplace_back(attention_geometry(shape, attention_device(), deterministic_));
}

AttentionDevice CudaBackend::attention_device() const {
  const cudaDeviceProp& properties = context_->properties();
  return {.num_sms = properties.multiProcessorCount,
          .compute_capability = context_->compute_capability(),
          .shared_bytes_per_sm = static_cast<int>(properties.sharedMemPerMultiprocessor)};
}

std::size_t CudaBackend::attention_bytes(const StepSizes& sizes) const {
  std::size_t workspace = 0, words = 0;
  for (const HeadSizes& heads : sizes.heads) {
    if (!on_tensor_cores(shape_of(heads))) continue;
    const AttentionGeometry geometry = attention_geometry(shape_of(heads), attention_device(), deterministic_);
    workspace = std::max(workspace, attention_workspace_bytes(geometry));
    words = std::max(words, max_plan_words(geometry, sizes.max_sequences, sizes.max_tokens));
  }
  return Arena::rounded(workspace) + kMaxPlans * Arena::rounded(words * sizeof(std::int32_t));
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
std::int64_t CudaBackend::max_recorded_tokens(const HeadSizes& heads) const {
  const AttentionShape shape = shape_of(heads);
  if (!on_tensor_cores(shape)) return std::numeric_limits<int>::max();
  const AttentionGeometry geometry = attention_geometry(shape, attention_device(), deterministic_);
  return geometry.whole_rows ? std::numeric_limits<int>::max() : geometry.decode_max_pairs / geometry.group();
}

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
