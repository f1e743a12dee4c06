// Matmuls of the CPU: which kinds a weight is packed in, and the loop over them.
#include "kernels/cpu/matmul/linear.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/rows.h"
#include "kernels/half_float.h"

namespace caudal {

CpuLinear::CpuLinear(const LinearShape& shape)
    : dtype_(shape.dtype), in_features_(shape.in_features), out_features_(shape.out_features()) {
  std::int64_t first = 0;
  for (const LinearShape::Rows& rows : shape.rows) {
    const PackedKind& kind = packed_kind(rows.format, dtype_);
    if (pieces_.empty() || pieces_.back().kind != &kind) {
      pieces_.push_back({&kind, first, {.panel_bytes = kind.panel_bytes(in_features_), .in_features = in_features_}});
    }
    pieces_.back().matrix.out_features += rows.count;
    first += rows.count;
  }
  for (const Piece& piece : pieces_) {
    const std::size_t panels = piece.matrix.num_panels();
    weight_bytes_ += panels * piece.matrix.panel_bytes;
    bias_bytes_ += panels * kPanel * sizeof(float);
  }
}

void CpuLinear::pack_weight(CpuContext& context, std::span<const StoredPart> parts) {
  auto* panels = static_cast<std::byte*>(weight_.data());
  for (Piece& piece : pieces_) {
    PackedMatrix& matrix = piece.matrix;
    matrix.panels = panels;
    context.parallel_tasks(matrix.num_panels(), [&](std::int64_t i, int thread) {
      const std::int64_t row = i * kPanel, count = std::min(kPanel, matrix.out_features - row);
      std::byte* panel = panels + i * matrix.panel_bytes;
      piece.kind->pack_panel(parts, piece.first + row, count, context.thread_scratch(thread), panel);
    });
    panels += matrix.num_panels() * matrix.panel_bytes;
  }
}

// A bias is a value of the dtype of x, and added in f32.
void CpuLinear::pack_bias(std::span<const StoredPart> parts) {
  auto* packed = static_cast<float*>(bias_.data());
  for (Piece& piece : pieces_) {
    piece.matrix.bias = packed;
    const std::int64_t count = piece.matrix.out_features;
    std::fill_n(packed, piece.matrix.num_panels() * kPanel, 0.0F);
    if (total_rows(parts) > 0) {
      std::vector<std::byte> values(count * dtype_bytes(dtype_));
      read_rows(parts, piece.first, count, dtype_, values.data());
      widen(dtype_, values.data(), static_cast<std::size_t>(count), packed);
    }
    packed += piece.matrix.num_panels() * kPanel;
  }
}

Result<std::unique_ptr<Linear>> CpuLinear::pack(CpuContext& context, const LinearSource& source) {
  auto linear = std::make_unique<CpuLinear>(shape_of(source));
  Result<Buffer> weight = allocate_host(linear->weight_bytes_);
  if (!weight) return weight.error();
  Result<Buffer> bias = allocate_host(linear->bias_bytes_);
  if (!bias) return bias.error();
  linear->weight_ = std::move(weight).value();
  linear->bias_ = std::move(bias).value();
  linear->pack_weight(context, source.weight);
  linear->pack_bias(source.bias);
  return std::unique_ptr<Linear>(std::move(linear));
}

void CpuLinear::multiply(CpuContext& context, const Tensor& x, const Tensor& out) const {
  for (const Piece& piece : pieces_)
    piece.kind->multiply(context, x, piece.matrix, out.columns(piece.first, piece.matrix.out_features));
}

void CpuLinear::read_row(std::int64_t row, std::byte* out) const {
  const auto behind = std::ranges::upper_bound(pieces_, row, {}, &Piece::first);
  const Piece& piece = *std::prev(behind);
  const std::int64_t at = row - piece.first;
  piece.kind->read_column(piece.matrix.panel(at / kPanel), at % kPanel, in_features_, dtype_, out);
}

std::size_t CpuBackend::packed_bytes(const LinearShape& shape) const { return CpuLinear(shape).packed_bytes(); }

Result<std::unique_ptr<Linear>> CpuBackend::pack_linear(const LinearSource& source) {
  CHECK(computes_in(source.dtype));
  return CpuLinear::pack(*context_, source);
}

static const CpuLinear& cpu_linear(const Linear& linear) {
  return static_cast<const CpuLinear&>(linear);  // made by pack_linear above
}

void compute(CpuContext& context, const op::Matmul& o) {
  const CpuLinear& weight = cpu_linear(*o.weight);
  if (o.x.dim(0) > 0) weight.multiply(context, o.x, o.out);
}

void compute(CpuContext& context, const op::Embedding& o) {
  const CpuLinear& table = cpu_linear(*o.table);
  for_rows(context, o.out, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) {
      const std::int64_t row = o.token_ids.as<std::int32_t>()[token] - o.first_token;
      const Tensor out = o.out.rows(token, 1);
      if (row >= 0 && row < table.out_features()) {
        table.read_row(row, out.as<std::byte>());
      } else {
        std::memset(out.data(), 0, out.bytes());
      }
    }
  });
}

}  // namespace caudal
