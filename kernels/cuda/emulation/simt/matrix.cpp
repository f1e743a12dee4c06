// Warp matrix instructions: ldmatrix, stmatrix and mma.sync m16n8k16 (PTX ISA, "Warp-level matrix
// instructions"). In every fragment, lane l holds row l / 4 and columns 2 (l % 4) and the next, of 8x8 tiles.
#include <cuda_fp16.h>

#include "kernels/cuda/emulation/simt/collective.h"

namespace caudal::simt {
namespace {

struct LoadArgs {
  int count = 0;
  bool transpose = false;
};

// One 8x8 tile of 16-bit elements, as shared memory holds it: 8 rows of 16 bytes.
struct Tile {
  std::uint16_t value[8][8];
};

void load_tile(BlockState& s, const WarpRendezvous& r, int j, bool transpose) {
  Tile tile;
  unsigned banks = 0;
  for (int row = 0; row < 8; ++row) {
    const void* address = r.in[8 * j + row];
    std::memcpy(tile.value[row], address, 16);
    banks |= 1U << (reinterpret_cast<std::uintptr_t>(address) / 16 % 8);
  }
  ++s.stats.ldmatrix;
  s.stats.bank_conflicts += static_cast<unsigned>(8 - __builtin_popcount(banks));
  for (int lane = 0; lane < 32; ++lane) {
    const int row = lane / 4, column = 2 * (lane % 4);
    const std::uint16_t low = transpose ? tile.value[column][row] : tile.value[row][column];
    const std::uint16_t high = transpose ? tile.value[column + 1][row] : tile.value[row][column + 1];
    static_cast<std::uint32_t*>(r.out[lane])[j] = low | static_cast<std::uint32_t>(high) << 16;
  }
}

void store_tile(const WarpRendezvous& r, int j, bool transpose) {
  for (int lane = 0; lane < 32; ++lane) {
    const int row = lane / 4, column = 2 * (lane % 4);
    const std::uint32_t value = static_cast<const std::uint32_t*>(r.in[lane])[j];
    for (int half = 0; half < 2; ++half) {
      const auto element = static_cast<std::uint16_t>(value >> (16 * half));
      const int to_row = transpose ? column + half : row, to_column = transpose ? row : column + half;
      static_cast<std::uint16_t*>(r.out[8 * j + to_row])[to_column] = element;
    }
  }
}

struct MmaIn {
  const std::uint32_t *a = nullptr, *b = nullptr;
  const float* d = nullptr;
};

void compute_mma(BlockState& s, WarpRendezvous& r, const void* extra) {
  const Half type = *static_cast<const Half*>(extra);
  float a[16][16], b[16][8], d[16][8];
  ++s.stats.mma;
  for (int lane = 0; lane < 32; ++lane) {
    const auto& in = *static_cast<const MmaIn*>(r.in[lane]);
    const int row = lane / 4, column = 2 * (lane % 4);
    for (int half = 0; half < 2; ++half) {
      for (int j = 0; j < 4; ++j) {
        a[row + 8 * (j & 1)][column + 8 * (j >> 1) + half] =
            half_to_float(static_cast<std::uint16_t>(in.a[j] >> (16 * half)), type);
      }
      for (int j = 0; j < 2; ++j) {
        b[column + 8 * j + half][row] = half_to_float(static_cast<std::uint16_t>(in.b[j] >> (16 * half)), type);
        d[row + 8 * j][column + half] = in.d[2 * j + half];
      }
    }
  }
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 16; ++k) {
      for (int j = 0; j < 8; ++j) d[i][j] += a[i][k] * b[k][j];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int j = 0; j < 4; ++j) {
      static_cast<float*>(r.out[lane])[j] = d[lane / 4 + 8 * (j >> 1)][2 * (lane % 4) + (j & 1)];
    }
  }
}

}  // namespace

float half_to_float(std::uint16_t bits, Half type) {
  if (type == Half::kBF16) return unpack<float>(static_cast<std::uint32_t>(bits) << 16);
  return __half2float(__half(__half_raw{bits}));
}

void ldmatrix(std::uint32_t* registers, int count, bool transpose, const void* row, Loc loc) {
  if (static_cast<int>(self().lane) < 8 * count) {
    check_shared(row, 16, 16, "ldmatrix", loc);
    tsan::read(row, 16);
  }
  const LoadArgs args{count, transpose};
  run_collective(~0U, {.op = transpose ? Op::kLdmatrixTrans : Op::kLdmatrix,
                       .loc = loc,
                       .aligned = true,
                       .in = row,
                       .out = registers,
                       .compute =
                           [](BlockState& s, WarpRendezvous& r, const void* extra) {
                             const auto& load = *static_cast<const LoadArgs*>(extra);
                             for (int j = 0; j < load.count; ++j) load_tile(s, r, j, load.transpose);
                           },
                       .extra = &args});
}

void stmatrix(const std::uint32_t* registers, int count, bool transpose, void* row, Loc loc) {
  if (static_cast<int>(self().lane) < 8 * count) {
    check_shared(row, 16, 16, "stmatrix", loc);
    tsan::write(row, 16);
  }
  const LoadArgs args{count, transpose};
  run_collective(~0U, {.op = Op::kStmatrix,
                       .loc = loc,
                       .aligned = true,
                       .in = registers,
                       .out = row,
                       .compute =
                           [](BlockState&, WarpRendezvous& r, const void* extra) {
                             const auto& store = *static_cast<const LoadArgs*>(extra);
                             for (int j = 0; j < store.count; ++j) store_tile(r, j, store.transpose);
                           },
                       .extra = &args});
}

void mma_m16n8k16(float* d, const std::uint32_t* a, const std::uint32_t* b, Half type, Loc loc) {
  const MmaIn in{a, b, d};
  run_collective(
      ~0U, {.op = Op::kMma, .loc = loc, .aligned = true, .in = &in, .out = d, .compute = compute_mma, .extra = &type});
}

}  // namespace caudal::simt
