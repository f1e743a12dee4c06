// Packing of block formats: the codes as they are, in the order in which the kernels read them (block.h).
#include "kernels/cpu/matmul/block.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "kernels/half_float.h"

namespace caudal {
namespace {

// The block of one row: column `column` of the panel's block.
class BlockWriter {
 public:
  BlockWriter(const BlockLayout& layout, std::uint8_t* block) : layout_(layout), block_(block) {}

  void write(const BlockCodes& codes, std::int64_t column) {
    std::memcpy(block_ + 2 * column, &codes.d, 2);
    if (layout_.mins) std::memcpy(block_ + 2 * (kPanel + column), &codes.m, 2);
    const std::uint8_t* values = codes.codes.data();
    for (std::int64_t step = 0; step < layout_.steps; ++step, values += kStep) {
      std::uint8_t* const packed = block_ + layout_.header_bytes() + step * layout_.step_bytes();
      write_scales(codes, step, column, packed);
      write_codes(values, packed + layout_.scale_bytes() + 4 * column);
    }
  }

 private:
  void write_scales(const BlockCodes& codes, std::int64_t step, std::int64_t column, std::uint8_t* packed) const {
    const std::int64_t count = layout_.scales_per_step;
    const std::int8_t* scales = codes.scales.data() + step * count;
    for (std::int64_t s = 0; s < count; ++s, packed += kPanel) packed[column] = static_cast<std::uint8_t>(scales[s]);
    if (!layout_.mins) return;
    const std::uint8_t* mins = codes.mins.data() + step * count;
    for (std::int64_t s = 0; s < count; ++s, packed += kPanel) packed[column] = mins[s];
  }

  // 32 codes of one column, a group of four at a time. The panel was zeros.
  void write_codes(const std::uint8_t* values, std::uint8_t* packed) const {
    for (int shift = 0, width; shift < layout_.bits; shift += width, packed += width * kPlaneBytes) {
      width = plane_width(layout_.bits - shift);
      const std::uint32_t mask = 0x01010101U * ((1U << width) - 1U);
      for (int group = 0; group < kStep / 4; ++group) {
        std::uint8_t* const entry = packed + group * width / 8 * kPlaneBytes;
        std::uint32_t four, before;
        std::memcpy(&four, values + std::ptrdiff_t{4} * group, 4);
        std::memcpy(&before, entry, 4);
        before |= (four >> shift & mask) << (group * width % 8);
        std::memcpy(entry, &before, 4);
      }
    }
  }

  const BlockLayout& layout_;
  std::uint8_t* block_;
};

// What was written for a column.
class BlockReader {
 public:
  BlockReader(const BlockLayout& layout, const std::uint8_t* block) : layout_(layout), block_(block) {}

  void read(std::int64_t column, BlockCodes& codes) const {
    std::memcpy(&codes.d, block_ + 2 * column, 2);
    if (layout_.mins) std::memcpy(&codes.m, block_ + 2 * (kPanel + column), 2);
    std::uint8_t* values = codes.codes.data();
    for (std::int64_t step = 0; step < layout_.steps; ++step) {
      const std::uint8_t* const packed = block_ + layout_.header_bytes() + step * layout_.step_bytes();
      read_scales(step, packed + column, codes);
      for (int i = 0; i < kStep; ++i)
        *values++ = static_cast<std::uint8_t>(code_at(layout_, packed + layout_.scale_bytes() + 4 * column, i));
    }
  }

 private:
  void read_scales(std::int64_t step, const std::uint8_t* packed, BlockCodes& codes) const {
    const std::int64_t count = layout_.scales_per_step;
    std::int8_t* scales = codes.scales.data() + step * count;
    for (std::int64_t s = 0; s < count; ++s, packed += kPanel) scales[s] = static_cast<std::int8_t>(*packed);
    if (!layout_.mins) return;
    std::uint8_t* mins = codes.mins.data() + step * count;
    for (std::int64_t s = 0; s < count; ++s, packed += kPanel) mins[s] = *packed;
  }

  const BlockLayout& layout_;
  const std::uint8_t* block_;
};

class BlockKind final : public PackedKind {
 public:
  BlockKind(const FormatInfo& format, std::size_t layout) : format_(format), layout_(layout) {}

  std::size_t panel_bytes(std::int64_t in) const override { return num_blocks(in) * layout().block_bytes(); }

  void pack_panel(std::span<const StoredPart> parts, std::int64_t first, std::int64_t count, Scratch&,
                  std::byte* panel) const override {
    std::memset(panel, 0, panel_bytes(parts.front().columns));
    BlockCodes codes;
    for (std::int64_t column = 0; column < count; ++column) {
      const StoredRow row = find_row(parts, first + column);
      auto* packed = reinterpret_cast<std::uint8_t*>(panel);
      const std::byte* stored = row.data;
      for (std::int64_t k = 0; k < row.columns; k += format_.block_values) {
        format_.coding.decode(stored, codes);
        BlockWriter(layout(), packed).write(codes, column);
        stored += format_.block_bytes, packed += layout().block_bytes();
      }
    }
  }

  void read_column(const std::byte* panel, std::int64_t column, std::int64_t in, DType dtype,
                   std::byte* out) const override {
    const auto* packed = reinterpret_cast<const std::uint8_t*>(panel);
    std::array<float, BlockCodes::kMaxValues> values;
    BlockCodes codes;
    for (std::int64_t k = 0; k < in; k += format_.block_values, packed += layout().block_bytes()) {
      const std::size_t count = std::min(in - k, format_.block_values);
      BlockReader(layout(), packed).read(column, codes);
      widen_codes(format_.coding, codes, count, values.data());
      narrow(dtype, values.data(), count, out);
      out += count * dtype_bytes(dtype);
    }
  }

  void multiply(CpuContext& context, const Tensor& x, const PackedMatrix& weight, const Tensor& out) const override {
    multiply_blocks(context, x, weight, layout_, format_.coding.zero, out);
  }

 private:
  const BlockLayout& layout() const { return kLayouts[layout_]; }
  std::int64_t num_blocks(std::int64_t in) const { return (in + format_.block_values - 1) / format_.block_values; }

  const FormatInfo& format_;
  std::size_t layout_;
};

// One for each format whose layout has kernels.
std::vector<std::unique_ptr<BlockKind>> make_kinds() {
  std::vector<std::unique_ptr<BlockKind>> kinds;
  for (const FormatInfo& format : kStoredFormats) {
    const std::optional<BlockLayout> layout = layout_of(format);
    kinds.push_back(layout ? std::make_unique<BlockKind>(format, kLayouts.index_of(*layout)) : nullptr);
  }
  return kinds;
}

}  // namespace

const PackedKind* block_kind(StoredFormat format) {
  static const std::vector<std::unique_ptr<BlockKind>> kinds = make_kinds();  // in the order of kStoredFormats
  return kinds[std::ranges::find(kStoredFormats, format, &FormatInfo::format) - kStoredFormats.begin()].get();
}

}  // namespace caudal
