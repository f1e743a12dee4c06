#include "kernels/linear.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/half_float.h"

namespace caudal {
namespace {

// `columns` values of one row from its first block on.
void read_values(const FormatInfo& format, const std::byte* blocks, std::size_t columns, DType dtype, std::byte* out) {
  if (format.dtype) return convert(*format.dtype, blocks, columns, dtype, out);
  std::array<float, BlockCodes::kMaxValues> wide;
  const std::size_t step = format.block_values;
  for (std::size_t begin = 0; begin < columns; begin += step, blocks += format.block_bytes) {
    widen_block(format.coding, blocks, step, wide.data());
    narrow(dtype, wide.data(), std::min(step, columns - begin), out + begin * dtype_bytes(dtype));
  }
}

void read_row(const StoredPart& part, std::int64_t row, DType dtype, std::byte* out) {
  const std::size_t bytes = part.columns * dtype_bytes(dtype);
  const std::size_t stored = row < part.stored_rows ? part.stored_columns : 0;
  const std::byte* blocks = part.data + row * part.row_bytes;
  if (stored > 0) read_values(info_of(part.format), blocks, stored, dtype, out);
  std::memset(out + stored * dtype_bytes(dtype), 0, bytes - stored * dtype_bytes(dtype));
}

}  // namespace

std::int64_t total_rows(std::span<const StoredPart> parts) {
  std::int64_t rows = 0;
  for (const StoredPart& part : parts) rows += part.rows;
  return rows;
}

StoredRow find_row(std::span<const StoredPart> parts, std::int64_t row) {
  for (const StoredPart& part : parts) {
    if (row < part.rows) {
      const std::byte* data = part.data + row * part.row_bytes;
      return row < part.stored_rows ? StoredRow{data, part.stored_columns} : StoredRow{nullptr, 0};
    }
    row -= part.rows;
  }
  CHECK_MSG(false, "no such row");
  return {};
}

void read_rows(std::span<const StoredPart> parts, std::int64_t first, std::int64_t count, DType dtype, std::byte* out) {
  CHECK(first >= 0 && count >= 0 && first + count <= total_rows(parts));
  for (const StoredPart& part : parts) {
    const std::int64_t begin = std::max<std::int64_t>(first, 0), end = std::min(first + count, part.rows);
    for (std::int64_t row = begin; row < end; ++row) {
      read_row(part, row, dtype, out);
      out += part.columns * dtype_bytes(dtype);
    }
    first -= part.rows;
  }
}

std::int64_t LinearShape::out_features() const {
  std::int64_t all = 0;
  for (const Rows& part : rows) all += part.count;
  return all;
}

LinearShape shape_of(const LinearSource& source) {
  LinearShape shape{.rows = {}, .dtype = source.dtype, .in_features = source.weight.front().columns};
  shape.rows.reserve(source.weight.size());
  for (const StoredPart& part : source.weight) shape.rows.push_back({part.format, part.rows});
  return shape;
}

}  // namespace caudal
