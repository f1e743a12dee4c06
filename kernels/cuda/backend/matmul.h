// Matmuls of the CUDA device: y = x W^T + b through cuBLASLt, sums in f32. The library's algorithm for a shape
// is chosen at start, by timing the few that it proposes; a step only looks it up. Owned by the backend, used by its
// step thread.
#pragma once

#include <cublasLt.h>

#include <compare>
#include <map>
#include <memory>

#include "kernels/buffer.h"
#include "kernels/cuda/backend/cuda_context.h"
#include "kernels/linear.h"

namespace caudal::cuda {

// The matrix as the checkpoint has it, [out, in] row-major, which is what cuBLASLt reads best as a transposed operand.
class CudaLinear final : public Linear {
 public:
  CudaLinear(Tensor weight, Tensor bias, Tensor bias_f32, std::vector<Buffer> memory)
      : weight_(weight), bias_(bias), bias_f32_(bias_f32), memory_(std::move(memory)) {}

  std::int64_t in_features() const override { return weight_.dim(1); }
  std::int64_t out_features() const override { return weight_.dim(0); }
  DType compute_dtype() const override { return weight_.dtype(); }
  std::size_t bytes() const override;

  const Tensor& weight() const { return weight_; }
  // For results of this dtype; empty without a bias.
  const Tensor& bias(DType out) const { return out == bias_.dtype() ? bias_ : bias_f32_; }

 private:
  Tensor weight_, bias_, bias_f32_;
  std::vector<Buffer> memory_;
};

struct MatmulOptions {
  bool tf32 = false;        // f32 matmuls may round their inputs to 19 bits
  bool whole_sums = false;  // no sum is cut into parts that are added later (split-K)
};

class Matmul {
 public:
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;  // what cuBLAS advises for Hopper

  // workspace: kWorkspaceBytes on the device.
  static Result<std::unique_ptr<Matmul>> create(CudaContext& context, Buffer workspace, const MatmulOptions& options);
  ~Matmul();

  // x [rows, in], out [rows, out], either with strided rows; out has x's dtype or f32.
  void run(const Tensor& x, const CudaLinear& weight, const Tensor& out);

  // Chooses algorithms for such matmuls with 1 to x.dim(0) rows. Waits for the device; writes to `out` what it likes.
  void choose(const Tensor& x, const CudaLinear& weight, const Tensor& out);

  // The largest number of rows that shares an algorithm with `rows`: 1 2 4 8 16 32 48 64 96 128 192 ...
  static std::int64_t row_class(std::int64_t rows);

 private:
  // What an algorithm is chosen by. Alignments are powers of two, at most 16.
  struct Shape {
    std::int64_t rows, in, out, x_stride, out_stride;
    DType dtype, out_dtype;
    bool bias;
    std::uint32_t x_alignment, weight_alignment, out_alignment;
    auto operator<=>(const Shape&) const = default;
  };
  struct Plan;

  Matmul(CudaContext& context, Buffer workspace, const MatmulOptions& options);
  static Shape shape_of(const Tensor& x, const CudaLinear& weight, const Tensor& out);
  const Plan* plan_for(const Shape& shape);
  cublasStatus_t launch(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Tensor& x,
                        const CudaLinear& weight, const Tensor& out);
  float time(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Tensor& x, const CudaLinear& weight,
             const Tensor& out);

  CudaContext& context_;
  Buffer workspace_;
  MatmulOptions options_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Shape, cublasLtMatmulAlgo_t> chosen_;  // of each class of rows, by its largest number that was asked for
  std::map<Shape, std::unique_ptr<Plan>> plans_;  // of exact numbers of rows
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

}  // namespace caudal::cuda
