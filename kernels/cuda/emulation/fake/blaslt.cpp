// A stand-in for cuBLASLt: column-major D = op(A) op(B) + bias with sums in f32, in one order for any shape unless the
// settings say otherwise. Checks
// what the library would only answer with a slower algorithm or a wrong result: layouts, and pointers aligned as the
// heuristic was promised.
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "kernels/cuda/emulation/fake/device.h"

namespace caudal::fake {
namespace {

struct Layout {
  cudaDataType type;
  std::uint64_t rows, cols;
  std::int64_t ld;
};
struct Desc {
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  cudaDataType bias_type = CUDA_R_32F;
};
struct Preference {
  std::uint32_t alignment_a = 256, alignment_b = 256, alignment_d = 256;
  std::uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
};
// How the sum over k is taken: in so many parts that are added at the end, and from lane to lane or in pairs of lanes.
struct SumOrder {
  std::uint64_t parts = 1;
  bool in_pairs = true;
};

SumOrder order_for(std::uint64_t columns, const Preference& preference) {
  if (!settings().split_sums) return {};
  const bool may_split = preference.reductions != CUBLASLT_REDUCTION_SCHEME_NONE;
  return {.parts = may_split && columns <= 32 ? 4U : 1U, .in_pairs = columns > 64};
}

struct Algorithm {
  std::uint32_t alignment_a, alignment_b, alignment_d;
  bool slow;
  std::uint64_t largest;  // number of columns of D that it serves
  SumOrder order;
};

template <typename T, typename Opaque>
T* see(Opaque* opaque) {
  static_assert(sizeof(T) <= sizeof(Opaque) && alignof(T) <= alignof(Opaque));
  return reinterpret_cast<T*>(opaque->data);
}
template <typename T, typename Opaque>
const T* see(const Opaque* opaque) {
  return reinterpret_cast<const T*>(opaque->data);
}

float load(cudaDataType type, const void* data, std::size_t i) {
  if (type == CUDA_R_16BF) return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
  if (type == CUDA_R_16F) return __half2float(static_cast<const __half*>(data)[i]);
  return static_cast<const float*>(data)[i];
}

void store(cudaDataType type, void* data, std::size_t i, float value) {
  if (type == CUDA_R_16BF) {
    static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16(value);
  } else if (type == CUDA_R_16F) {
    static_cast<__half*>(data)[i] = __float2half(value);
  } else {
    static_cast<float*>(data)[i] = value;
  }
}

struct Operand {
  const void* data;
  Layout layout;
  bool transposed;

  // Column j of op(X): k values, as f32.
  void column(std::uint64_t j, std::vector<float>& out) const {
    const std::uint64_t k = transposed ? layout.cols : layout.rows;
    out.resize(k);
    for (std::uint64_t i = 0; i < k; ++i) {
      const auto place =
          transposed ? j + i * static_cast<std::uint64_t>(layout.ld) : i + j * static_cast<std::uint64_t>(layout.ld);
      out[i] = load(layout.type, data, place);
    }
  }
};

float dot(const float* x, const float* y, std::uint64_t k, bool in_pairs) {
  float lanes[8] = {};  // eight partial sums let the compiler use vectors
  const std::uint64_t whole = k / 8 * 8;
  for (std::uint64_t i = 0; i < whole; i += 8)
    for (std::uint64_t l = 0; l < 8; ++l) lanes[l] += x[i + l] * y[i + l];
  float sum = 0.0F;
  if (in_pairs) {
    sum = ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
  } else {
    for (const float lane : lanes) sum += lane;
  }
  for (std::uint64_t i = whole; i < k; ++i) sum += x[i] * y[i];
  return sum;
}

// D [m, n]; a and b give their columns as sums run over k: op(A)^T has column m.
void multiply(const Operand& a, const Operand& b, const Desc& desc, void* d, const Layout& out, SumOrder order) {
  std::vector<std::vector<float>> rows(out.rows);
  for (std::uint64_t i = 0; i < out.rows; ++i) a.column(i, rows[i]);
  std::vector<float> column;
  for (std::uint64_t j = 0; j < out.cols; ++j) {
    b.column(j, column);
    for (std::uint64_t i = 0; i < out.rows; ++i) {
      float sum = 0.0F;
      for (std::uint64_t p = 0; p < order.parts; ++p) {
        const std::uint64_t k = column.size(), begin = k * p / order.parts, end = k * (p + 1) / order.parts;
        sum += dot(rows[i].data() + begin, column.data() + begin, end - begin, order.in_pairs);
      }
      if (desc.epilogue == CUBLASLT_EPILOGUE_BIAS) sum += load(desc.bias_type, desc.bias, i);
      store(out.type, d, i + j * static_cast<std::uint64_t>(out.ld), sum);
    }
  }
}

bool aligned(const void* pointer, const Layout& layout, std::uint32_t to) {
  const std::size_t element = layout.type == CUDA_R_32F ? 4 : 2;
  return reinterpret_cast<std::uintptr_t>(pointer) % to == 0 &&
         (layout.cols <= 1 || static_cast<std::size_t>(layout.ld) * element % to == 0);
}

}  // namespace
}  // namespace caudal::fake

using namespace caudal::fake;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (enter("cublasLtCreate") != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = reinterpret_cast<cublasLtHandle_t>(new char);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete reinterpret_cast<char*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported" : "failed";
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t cols, std::int64_t ld) {
  if (ld < static_cast<std::int64_t>(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  *layout = new cublasLtMatrixLayoutOpaque_t;
  *see<Layout>(*layout) = {type, rows, cols, ld};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t, cudaDataType_t scale) {
  if (scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *desc = new cublasLtMatmulDescOpaque_t;
  *see<Desc>(*desc) = {};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  Desc& target = *see<Desc>(desc);
  void* field = attribute == CUBLASLT_MATMUL_DESC_TRANSA           ? static_cast<void*>(&target.transpose_a)
                : attribute == CUBLASLT_MATMUL_DESC_TRANSB         ? static_cast<void*>(&target.transpose_b)
                : attribute == CUBLASLT_MATMUL_DESC_EPILOGUE       ? static_cast<void*>(&target.epilogue)
                : attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER   ? static_cast<void*>(&target.bias)
                : attribute == CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE ? static_cast<void*>(&target.bias_type)
                                                                   : nullptr;
  if (field == nullptr) return CUBLAS_STATUS_NOT_SUPPORTED;
  std::memcpy(field, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  *see<Preference>(*preference) = {};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t bytes) {
  Preference& target = *see<Preference>(preference);
  if (attribute == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES) std::memcpy(&target.alignment_a, value, bytes);
  if (attribute == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES) std::memcpy(&target.alignment_b, value, bytes);
  if (attribute == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES) std::memcpy(&target.alignment_d, value, bytes);
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) std::memcpy(&target.reductions, value, bytes);
  return CUBLAS_STATUS_SUCCESS;  // others say nothing to one slow algorithm
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t results[], int* count) {
  if (enter("cublasLtMatmulAlgoGetHeuristic") != cudaSuccess) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (see<Layout>(a)->type != see<Layout>(b)->type) return CUBLAS_STATUS_NOT_SUPPORTED;
  const Preference& promised = *see<Preference>(preference);
  *count = std::min(most, settings().slow_algorithms + 1);  // the fast one is proposed last
  for (int i = 0; i < *count; ++i) {
    results[i] = {};
    results[i].state = CUBLAS_STATUS_SUCCESS;
    *see<Algorithm>(&results[i].algo) = {promised.alignment_a, promised.alignment_b,
                                         promised.alignment_d, i < settings().slow_algorithms,
                                         see<Layout>(d)->cols, order_for(see<Layout>(d)->cols, promised)};
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                       cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algorithm, cublasLtMatmulHeuristicResult_t* result) {
  if (enter("cublasLtMatmulAlgoCheck") != cudaSuccess) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (see<Layout>(d)->cols > see<Algorithm>(algorithm)->largest) return CUBLAS_STATUS_NOT_SUPPORTED;
  result->workspaceSize = 0;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void*, cublasLtMatrixLayout_t, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void*,
                              std::size_t, cudaStream_t stream) {
  if (enter("cublasLtMatmul") != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (*static_cast<const float*>(alpha) != 1.0F || *static_cast<const float*>(beta) != 0.0F)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const Desc what = *see<Desc>(desc);
  const Layout out = *see<Layout>(d_layout);
  const Operand left{a, *see<Layout>(a_layout), what.transpose_a == CUBLAS_OP_N};  // its columns are op(A)'s rows
  const Operand right{b, *see<Layout>(b_layout), what.transpose_b != CUBLAS_OP_N};
  const Algorithm& promised = *see<Algorithm>(algorithm);
  if (!aligned(a, left.layout, promised.alignment_a) || !aligned(b, right.layout, promised.alignment_b) ||
      !aligned(d, out, promised.alignment_d) || out.cols > promised.largest)
    return CUBLAS_STATUS_INVALID_VALUE;
  count_launch();
  if (promised.slow) count_slow_product();
  queue(stream, [=, slow = promised.slow, order = promised.order] {
    if (slow) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    multiply(left, right, what, d, out, order);
  });
  return CUBLAS_STATUS_SUCCESS;
}
