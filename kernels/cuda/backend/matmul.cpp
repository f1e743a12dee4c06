// cuBLASLt speaks of column-major matrices: a row-major [rows, in] is its [in, rows]. So out^T [out, rows] =
// W [out, in] x^T [in, rows] is computed, with W stored as [in, out] and transposed.
#include "kernels/cuda/backend/matmul.h"

#include <fmt/core.h>

#include <array>
#include <bit>
#include <limits>
#include <vector>

namespace caudal::cuda {
namespace {

constexpr int kMaxProposals = 4;

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return CUDA_R_16BF;
    case DType::kF16:
      return CUDA_R_16F;
    default:
      return CUDA_R_32F;
  }
}

std::uint32_t alignment_of(const Tensor& tensor) {
  const auto stride = static_cast<std::uintptr_t>(tensor.stride0()) * dtype_bytes(tensor.dtype());
  const std::uintptr_t bits = reinterpret_cast<std::uintptr_t>(tensor.data()) | stride | 16;
  return std::uint32_t{1} << std::countr_zero(bits);
}

struct PreferenceDeleter {
  void operator()(cublasLtMatmulPreference_t p) const { cublasLtMatmulPreferenceDestroy(p); }
};

}  // namespace

std::size_t CudaLinear::bytes() const {
  std::size_t sum = 0;
  for (const Buffer& buffer : memory_) sum += buffer.bytes();
  return sum;
}

struct Matmul::Plan {
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t weight = nullptr, x = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};

  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    if (desc != nullptr) cublasLtMatmulDescDestroy(desc);
    for (cublasLtMatrixLayout_t layout : {weight, x, out})
      if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
  }

  template <typename T>
  bool set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    return cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof value) == CUBLAS_STATUS_SUCCESS;
  }

  bool describe(const Shape& shape, bool tf32) {
    const auto in = static_cast<std::uint64_t>(shape.in), outs = static_cast<std::uint64_t>(shape.out);
    const auto rows = static_cast<std::uint64_t>(shape.rows);
    const bool fast = tf32 && shape.dtype == DType::kF32;
    const cublasComputeType_t compute = fast ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    bool ok = cublasLtMatmulDescCreate(&desc, compute, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS;
    ok = ok && set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    if (shape.bias) {
      ok = ok && set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      ok = ok && set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(shape.out_dtype));
    }
    const auto lay = [&](cublasLtMatrixLayout_t& layout, DType dtype, std::uint64_t r, std::uint64_t c,
                         std::int64_t stride) {
      ok = ok && cublasLtMatrixLayoutCreate(&layout, type_of(dtype), r, c, stride) == CUBLAS_STATUS_SUCCESS;
    };
    lay(weight, shape.dtype, in, outs, shape.in);
    lay(x, shape.dtype, in, rows, shape.x_stride);
    lay(out, shape.out_dtype, outs, rows, shape.out_stride);
    return ok;
  }

  // What the library would take, best first; at most `most`.
  cublasStatus_t propose(cublasLtHandle_t handle, const Shape& shape, bool whole_sums, int most,
                         std::vector<cublasLtMatmulAlgo_t>& proposals) const {
    cublasLtMatmulPreference_t raw = nullptr;
    if (const cublasStatus_t made = cublasLtMatmulPreferenceCreate(&raw); made != CUBLAS_STATUS_SUCCESS) return made;
    const std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, PreferenceDeleter> preference(raw);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      cublasLtMatmulPreferenceSetAttribute(raw, attribute, &value, sizeof value);
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{whole_sums ? 0 : kWorkspaceBytes});
    if (whole_sums) prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, shape.weight_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, shape.x_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, shape.out_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, shape.out_alignment);
    std::array<cublasLtMatmulHeuristicResult_t, kMaxProposals> found{};
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, desc, weight, x, out, out, raw, most, found.data(), &count);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    for (int i = 0; i < count; ++i)
      if (found[i].state == CUBLAS_STATUS_SUCCESS) proposals.push_back(found[i].algo);
    return proposals.empty() ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
  }

  bool serves(cublasLtHandle_t handle, const cublasLtMatmulAlgo_t& candidate) const {
    cublasLtMatmulHeuristicResult_t result{};
    return cublasLtMatmulAlgoCheck(handle, desc, weight, x, out, out, &candidate, &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= kWorkspaceBytes;
  }
};

Result<std::unique_ptr<Matmul>> Matmul::create(CudaContext& context, Buffer workspace, const MatmulOptions& options) {
  std::unique_ptr<Matmul> matmul(new Matmul(context, std::move(workspace), options));
  if (const cublasStatus_t status = cublasLtCreate(&matmul->handle_); status != CUBLAS_STATUS_SUCCESS)
    return Error{fmt::format("cuBLASLt cannot be used: {}", cublasLtGetStatusString(status)), "device"};
  context.check(cudaEventCreateWithFlags(&matmul->begin_, cudaEventDefault), "making an event");
  context.check(cudaEventCreateWithFlags(&matmul->end_, cudaEventDefault), "making an event");
  if (context.failure()) return *context.failure();
  return matmul;
}

Matmul::Matmul(CudaContext& context, Buffer workspace, const MatmulOptions& options)
    : context_(context), workspace_(std::move(workspace)), options_(options) {}

Matmul::~Matmul() {
  plans_.clear();
  if (handle_ != nullptr) cublasLtDestroy(handle_);
  for (const cudaEvent_t event : {begin_, end_})
    if (event != nullptr) cudaEventDestroy(event);
}

std::int64_t Matmul::row_class(std::int64_t rows) {
  const auto power = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)));
  return power > 32 && rows <= power / 4 * 3 ? power / 4 * 3 : power;
}

Matmul::Shape Matmul::shape_of(const Tensor& x, const CudaLinear& linear, const Tensor& out) {
  return {.rows = x.dim(0),
          .in = x.dim(1),
          .out = out.dim(1),
          .x_stride = x.stride0(),
          .out_stride = out.stride0(),
          .dtype = x.dtype(),
          .out_dtype = out.dtype(),
          .bias = !linear.bias(out.dtype()).empty(),
          .x_alignment = alignment_of(x),
          .weight_alignment = alignment_of(linear.weight()),
          .out_alignment = alignment_of(out)};
}

// The library is asked on the host only; what was chosen for the class is taken when it serves this very number too.
const Matmul::Plan* Matmul::plan_for(const Shape& shape) {
  std::unique_ptr<Plan>& plan = plans_[shape];
  if (plan) return plan.get();
  plan = std::make_unique<Plan>();
  cublasStatus_t status = plan->describe(shape, options_.tf32) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
  Shape of_class = shape;
  of_class.rows = row_class(shape.rows);
  const auto chosen = chosen_.find(of_class);
  if (status == CUBLAS_STATUS_SUCCESS && chosen != chosen_.end() && plan->serves(handle_, chosen->second)) {
    plan->algorithm = chosen->second;
    return plan.get();
  }
  std::vector<cublasLtMatmulAlgo_t> proposals;
  if (status == CUBLAS_STATUS_SUCCESS) status = plan->propose(handle_, shape, options_.whole_sums, 1, proposals);
  if (status == CUBLAS_STATUS_SUCCESS) {
    plan->algorithm = proposals.front();
    return plan.get();
  }
  context_.fail(fmt::format("cuBLASLt has no matmul of {} x {} with {} rows of {}: {}", shape.out, shape.in, shape.rows,
                            dtype_name(shape.dtype), cublasLtGetStatusString(status)));
  plans_.erase(shape);
  return nullptr;
}

void Matmul::choose(const Tensor& x, const CudaLinear& linear, const Tensor& out) {
  for (std::int64_t most = 1; !context_.failure(); most = row_class(most + 1)) {
    const std::int64_t rows = std::min(most, x.dim(0));
    const Tensor some = x.rows(0, rows), result = out.rows(0, rows);
    const Shape shape = shape_of(some, linear, result);
    Shape of_class = shape;
    of_class.rows = most;
    Plan plan;
    std::vector<cublasLtMatmulAlgo_t> proposals;
    const bool known = chosen_.contains(of_class);
    // Without a proposal the first step that needs one says what is missing.
    if (!known && plan.describe(shape, options_.tf32) &&
        plan.propose(handle_, shape, options_.whole_sums, kMaxProposals, proposals) == CUBLAS_STATUS_SUCCESS) {
      std::size_t best = 0;
      float best_ms = std::numeric_limits<float>::infinity();
      for (std::size_t i = 0; proposals.size() > 1 && i < proposals.size(); ++i) {
        const float ms = time(plan, proposals[i], some, linear, result);
        if (ms < best_ms) best = i, best_ms = ms;
      }
      chosen_[of_class] = proposals[best];
    }
    if (most >= x.dim(0)) return;
  }
}

// Milliseconds of the fastest of a few runs; infinite when it does not run.
float Matmul::time(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Tensor& x, const CudaLinear& linear,
                   const Tensor& out) {
  constexpr int kRuns = 4;  // the first loads the kernel
  float best = std::numeric_limits<float>::infinity();
  for (int i = 0; i < kRuns && !context_.failure(); ++i) {
    context_.check(cudaEventRecord(begin_, context_.stream()), "recording an event");
    if (launch(plan, algorithm, x, linear, out) != CUBLAS_STATUS_SUCCESS) return best;
    if (!context_.check(cudaEventRecord(end_, context_.stream()), "recording an event")) break;
    context_.wait(end_);
    float ms = 0.0F;
    if (!context_.failure() && context_.check(cudaEventElapsedTime(&ms, begin_, end_), "timing a matmul"))
      best = std::min(best, ms);
  }
  return best;
}

cublasStatus_t Matmul::launch(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Tensor& x,
                              const CudaLinear& linear, const Tensor& out) {
  if (const Tensor& bias = linear.bias(out.dtype()); !bias.empty()) {
    const void* pointer = bias.data();
    cublasLtMatmulDescSetAttribute(plan.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &pointer, sizeof pointer);
  }
  const float one = 1.0F, zero = 0.0F;
  return cublasLtMatmul(handle_, plan.desc, &one, linear.weight().data(), plan.weight, x.data(), plan.x, &zero,
                        out.data(), plan.out, out.data(), plan.out, &algorithm, workspace_.data(), workspace_.bytes(),
                        context_.stream());
}

void Matmul::run(const Tensor& x, const CudaLinear& linear, const Tensor& out) {
  if (context_.failure()) return;
  const Plan* plan = plan_for(shape_of(x, linear, out));
  if (plan == nullptr) return;
  if (const cublasStatus_t status = launch(*plan, plan->algorithm, x, linear, out); status != CUBLAS_STATUS_SUCCESS)
    context_.fail(fmt::format("a matmul failed: {}", cublasLtGetStatusString(status)));
}

}  // namespace caudal::cuda
