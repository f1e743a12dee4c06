// The packed weight of a CPU linear layer: parts below each other, each run of equal kind (packed_kind.h) by itself.
#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/matmul/packed_kind.h"

namespace caudal {

class CpuLinear final : public Linear {
 public:
  // Of that shape, not packed.
  explicit CpuLinear(const LinearShape& shape);
  static Result<std::unique_ptr<Linear>> pack(CpuContext& context, const LinearSource& source);

  std::size_t packed_bytes() const { return weight_bytes_ + bias_bytes_; }
  void multiply(CpuContext& context, const Tensor& x, const Tensor& out) const;
  // Row `row` of the weight: [in_features] values of compute_dtype().
  void read_row(std::int64_t row, std::byte* out) const;

  std::int64_t in_features() const override { return in_features_; }
  std::int64_t out_features() const override { return out_features_; }
  DType compute_dtype() const override { return dtype_; }
  std::size_t bytes() const override { return weight_.bytes() + bias_.bytes(); }

 private:
  struct Piece {
    const PackedKind* kind;
    std::int64_t first;  // row of the weight
    PackedMatrix matrix;
  };

  void pack_weight(CpuContext& context, std::span<const StoredPart> parts);
  void pack_bias(std::span<const StoredPart> parts);

  DType dtype_;
  std::int64_t in_features_ = 0, out_features_ = 0;
  std::vector<Piece> pieces_;
  std::size_t weight_bytes_ = 0, bias_bytes_ = 0;
  Buffer weight_;
  Buffer bias_;
};

}  // namespace caudal
