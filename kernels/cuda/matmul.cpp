// cuBLASLt speaks of column-major matrices: a row-major [rows, in] is its [in, rows]. So out^T [out, rows] =
// W [out, in] x^T [in, rows] is computed, with W stored as [in, out] and transposed.
#include "kernels/cuda/matmul.h"

#include <fmt/core.h>

#include <bit>

namespace caudal::cuda {
namespace {

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::kBF16: return CUDA_R_16BF;
    case DType::kF16: return CUDA_R_16F;
    default: return CUDA_R_32F;
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

  cublasStatus_t choose(cublasLtHandle_t handle, const Shape& shape) {
    cublasLtMatmulPreference_t raw = nullptr;
    if (const cublasStatus_t made = cublasLtMatmulPreferenceCreate(&raw); made != CUBLAS_STATUS_SUCCESS) return made;
    const std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, PreferenceDeleter> preference(raw);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      cublasLtMatmulPreferenceSetAttribute(raw, attribute, &value, sizeof value);
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, shape.weight_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, shape.x_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, shape.out_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, shape.out_alignment);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, desc, weight, x, out, out, raw, 1, &found, &count);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    if (count == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
    algorithm = found.algo;
    return found.state;
  }
};

Result<std::unique_ptr<Matmul>> Matmul::create(CudaContext& context, Buffer workspace, bool tf32) {
  std::unique_ptr<Matmul> matmul(new Matmul(context, std::move(workspace), tf32));
  if (const cublasStatus_t status = cublasLtCreate(&matmul->handle_); status != CUBLAS_STATUS_SUCCESS)
    return Error{fmt::format("cuBLASLt cannot be used: {}", cublasLtGetStatusString(status)), "device"};
  return matmul;
}

Matmul::Matmul(CudaContext& context, Buffer workspace, bool tf32)
    : context_(context), workspace_(std::move(workspace)), tf32_(tf32) {}

Matmul::~Matmul() {
  if (handle_ != nullptr) cublasLtDestroy(handle_);
}

const Matmul::Plan* Matmul::plan_for(const Shape& shape) {
  std::unique_ptr<Plan>& plan = plans_[shape];
  if (plan) return plan.get();
  plan = std::make_unique<Plan>();
  const cublasStatus_t status = plan->describe(shape, tf32_) ? plan->choose(handle_, shape) : CUBLAS_STATUS_INVALID_VALUE;
  if (status == CUBLAS_STATUS_SUCCESS) return plan.get();
  context_.fail(fmt::format("cuBLASLt has no product of {} x {} with {} rows of {}: {}", shape.out, shape.in, shape.rows,
                            dtype_name(shape.dtype), cublasLtGetStatusString(status)));
  plans_.erase(shape);
  return nullptr;
}

void Matmul::run(const Tensor& x, const CudaLinear& linear, const Tensor& out) {
  const Tensor& bias = linear.bias(out.dtype());
  const Shape shape{.rows = x.dim(0), .in = x.dim(1), .out = out.dim(1), .x_stride = x.stride0(),
                    .out_stride = out.stride0(), .dtype = x.dtype(), .out_dtype = out.dtype(), .bias = !bias.empty(),
                    .x_alignment = alignment_of(x), .weight_alignment = alignment_of(linear.weight()),
                    .out_alignment = alignment_of(out)};
  if (context_.failure()) return;
  const Plan* plan = plan_for(shape);
  if (plan == nullptr) return;
  if (shape.bias) {
    const void* pointer = bias.data();
    cublasLtMatmulDescSetAttribute(plan->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &pointer, sizeof pointer);
  }
  const float one = 1.0F, zero = 0.0F;
  const cublasStatus_t status =
      cublasLtMatmul(handle_, plan->desc, &one, linear.weight().data(), plan->weight, x.data(), plan->x, &zero,
                     out.data(), plan->out, out.data(), plan->out, &plan->algorithm, workspace_.data(),
                     workspace_.bytes(), context_.stream());
  if (status != CUBLAS_STATUS_SUCCESS)
    context_.fail(fmt::format("a matrix product failed: {}", cublasLtGetStatusString(status)));
}

}  // namespace caudal::cuda
