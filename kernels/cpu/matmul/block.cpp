// Packing of block formats: the codes as they are, in the order in which the kernels read them (block.h).
#include "kernels/cpu/matmul/block.h"

#include <algorithm>
#include <cstring>
#include <vector>

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
    if (count > 0 && layout_.mins) packed[column] = codes.mins.data()[step];
  }

  // 32 codes of one column. The panel was zeros.
  void write_codes(const std::uint8_t* values, std::uint8_t* packed) const {
    constexpr std::int64_t kGroup = 4 * kPanel;  // bytes from a group to the next
    for (int i = 0; i < kStep; ++i) {
      const int group = i / 4, k = i % 4, half = group / 4;
      const unsigned code = values[i], upper = code >> 4U;
      if (layout_.bits == 8) {
        packed[group * kGroup + k] = values[i];
        continue;
      }
      set(packed[group % 4 * kGroup + k], (code & 15U) << (4 * half));
      if (layout_.bits == 5) set(packed[4 * kGroup + k], upper << group);
      if (layout_.bits == 6) set(packed[(4 + half) * kGroup + k], upper << (2 * (group % 4)));
    }
  }
  static void set(std::uint8_t& byte, unsigned bits) { byte = static_cast<std::uint8_t>(byte | bits); }

  const BlockLayout& layout_;
  std::uint8_t* block_;
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

  void multiply(CpuContext& context, const Tensor& x, const PackedMatrix& weight, const Tensor& out) const override {
    multiply_blocks(context, x, weight, layout_, format_.coding.zero, out);
  }

 private:
  const BlockLayout& layout() const { return kLayouts[layout_]; }
  std::int64_t num_blocks(std::int64_t in) const { return (in + format_.block_values - 1) / format_.block_values; }

  const FormatInfo& format_;
  std::size_t layout_;
};

BlockLayout layout_of(const FormatInfo& format) {
  const BlockCoding& coding = format.coding;
  const bool large = format.block_values > kStep;
  return {.bits = coding.bits,
          .mins = coding.has_mins,
          .scales_per_step = large ? static_cast<int>(kStep) / coding.values_per_scale : 0,
          .steps = static_cast<int>(format.block_values / kStep)};
}

// One for each format whose layout has kernels.
std::vector<std::unique_ptr<BlockKind>> make_kinds() {
  std::vector<std::unique_ptr<BlockKind>> kinds;
  for (const StoredFormat format : all_formats()) {
    const FormatInfo& info = info_of(format);
    const auto* found = info.dtype ? std::end(kLayouts) : std::ranges::find(kLayouts, layout_of(info));
    const std::size_t layout = found - std::begin(kLayouts);
    kinds.push_back(found == std::end(kLayouts) ? nullptr : std::make_unique<BlockKind>(info, layout));
  }
  return kinds;
}

}  // namespace

const PackedKind* block_kind(StoredFormat format) {
  static const std::vector<std::unique_ptr<BlockKind>> kinds = make_kinds();  // in the order of all_formats()
  const std::vector<StoredFormat> formats = all_formats();
  return kinds[std::ranges::find(formats, format) - formats.begin()].get();
}

}  // namespace caudal
