// Packing of Q8_0 blocks (q8_0.h): codes less the code of 0, so that they are signed.
#include "kernels/cpu/matmul/q8_0.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/half_float.h"

namespace caudal {
namespace {

class Q8_0Kind final : public PackedKind {
 public:
  explicit Q8_0Kind(const FormatInfo& format) : format_(format) {}

  std::size_t panel_bytes(std::int64_t in) const override { return (in + kBlockK - 1) / kBlockK * kQ8_0BlockBytes; }

  void pack_panel(std::span<const StoredPart> parts, std::int64_t first, std::int64_t count, Scratch&,
                  std::byte* panel) const override {
    std::memset(panel, 0, panel_bytes(parts.front().columns));
    BlockCodes codes;
    for (std::int64_t column = 0; column < count; ++column) {
      const StoredRow row = find_row(parts, first + column);
      const std::byte* stored = row.data;
      std::byte* block = panel;
      for (std::int64_t k = 0; k < row.columns; k += kBlockK, stored += format_.block_bytes, block += kQ8_0BlockBytes) {
        format_.coding.decode(stored, codes);
        std::memcpy(block + 2 * column, &codes.d, 2);
        auto* packed = reinterpret_cast<std::int8_t*>(block + kQ8_0ScaleBytes) + column;
        for (std::int64_t i = 0; i < kBlockK; ++i)
          packed[i * kPanel] = static_cast<std::int8_t>(codes.codes[i] - format_.coding.zero);
      }
    }
  }

  void read_column(const std::byte* panel, std::int64_t column, std::int64_t in, DType dtype,
                   std::byte* out) const override {
    std::array<float, kBlockK> values;
    for (std::int64_t k = 0; k < in; k += kBlockK, panel += kQ8_0BlockBytes) {
      std::uint16_t scale;
      std::memcpy(&scale, panel + 2 * column, 2);
      const auto* codes = reinterpret_cast<const std::int8_t*>(panel + kQ8_0ScaleBytes) + column;
      for (std::int64_t i = 0; i < kBlockK; ++i)
        values[i] = f16_to_float(scale) * static_cast<float>(codes[i * kPanel]);
      const std::size_t count = std::min(in - k, kBlockK);
      narrow(dtype, values.data(), count, out);
      out += count * dtype_bytes(dtype);
    }
  }

  void multiply(CpuContext& context, const Tensor& x, const PackedMatrix& weight, const Tensor& out) const override {
    multiply_q8_0(context, x, weight, out);
  }

 private:
  const FormatInfo& format_;
};

}  // namespace

const PackedKind& q8_0_kind() {
  static const Q8_0Kind kind(info_of(StoredFormat::kQ8_0));
  return kind;
}

}  // namespace caudal
