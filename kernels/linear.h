// Linear: the weight of y = x W^T + b, packed once at load for one device; and LinearSource: what it is packed from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/stored_format.h"
#include "kernels/tensor.h"

namespace caudal {

// What a rank takes of a stored tensor: [rows, columns] values in host memory. Values past the stored rows and columns
// are zeros; they pad the parts of several ranks to one size.
struct StoredPart {
  StoredFormat format = StoredFormat::kF32;
  const std::byte* data = nullptr;  // the first value; at the beginning of a block, may be unaligned
  std::size_t row_bytes = 0;        // from a row to the next
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t stored_rows = 0;                   // at most rows
  std::int64_t stored_columns = 0;                // at most columns
  std::unique_ptr<std::byte[]> memory = nullptr;  // behind `data`, where that is not the checkpoint's
};

// Parts below each other are one matrix: q, k and v, for example. A vector has one column.
std::int64_t total_rows(std::span<const StoredPart> parts);

// Row `row` of the parts: where its blocks begin, and how many of its values are stored.
struct StoredRow {
  const std::byte* data;
  std::int64_t columns;
};
StoredRow find_row(std::span<const StoredPart> parts, std::int64_t row);

// Rows [first, first + count) as values of `dtype`, to out [count, columns].
void read_rows(std::span<const StoredPart> parts, std::int64_t first, std::int64_t count, DType dtype, std::byte* out);

struct LinearSource {
  std::vector<StoredPart> weight;  // [out_features, in_features]
  std::vector<StoredPart> bias;    // [out_features, 1]; no rows: none
  DType dtype = DType::kF32;       // of x
};

// What a memory plan knows of it, before anything is read.
struct LinearShape {
  struct Rows {
    StoredFormat format = StoredFormat::kF32;
    std::int64_t count = 0;
  };
  std::vector<Rows> rows;     // of its parts
  DType dtype = DType::kF32;  // of x
  std::int64_t in_features = 0;

  std::int64_t out_features() const;
};

LinearShape shape_of(const LinearSource& source);

// Made by Backend::pack_linear; only that backend reads it.
class Linear {
 public:
  virtual ~Linear() = default;
  virtual std::int64_t in_features() const = 0;
  virtual std::int64_t out_features() const = 0;
  virtual DType compute_dtype() const = 0;  // of the x that it takes
  virtual std::size_t bytes() const = 0;    // device memory held
};

}  // namespace caudal
