// bf16 matmul on AMX, one kernel for one row and for thousands.
//
//   A  x, packed by 16 rows into tiles [ceil(rows / 16)][k blocks][16][32], zeros below the last row
//   B  the weight's panels of 32 columns, two tiles per k block (plain.h)
//   C  32 x 32 in four tiles: four loads for four products, so that loads (8 cycles each) hide behind
//      products (16 each)
//
// A task owns up to 512 rows and a group of panels. Many rows: k is cut so that a panel's part of B (32 KiB) stays in
// L1 and the rows' part of A (512 KiB) in L2 while all panels of the group pass by; C waits in f32. Cutting does not
// change a sum: each value still adds its products in the order of k. Few rows: no cut, B streams from memory.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/amx.h"
#include "kernels/cpu/cpu_context.h"
#include "kernels/cpu/matmul/plain.h"

namespace caudal {
namespace {

constexpr std::int64_t kTaskRows = 512;
constexpr std::int64_t kMaxBlocksK = 16;         // k blocks per pass with many rows: 32 KiB of B
constexpr std::int64_t kStreamRows = 64;         // up to here no cut of k
constexpr std::int64_t kMaxTaskPanels = 14;      // C of a task: 512 x 448 f32, 0.9 MiB of the 2 MiB L2
constexpr std::int64_t kStreamAhead = 12 << 10;  // bytes of B between prefetch and use when streaming
constexpr std::int64_t kBlockC = 1024;           // f32 of one C block, as four tiles

struct Gemm {
  const BF16* a;  // packed
  std::int64_t num_rows;
  const PackedMatrix* weight;
  const Tensor* out;
  std::int64_t blocks_k;  // in all
};

// One pass over k blocks [0, count) for 32 x 32 of C. `b_ahead`: prefetch position.
struct Pass {
  const BF16* a0;  // 16 rows each; a1 is read only with two row tiles
  const BF16* a1;
  const BF16* b;
  const char* b_ahead;
  std::int64_t lines_per_block;  // cache lines to prefetch per k block
  std::int64_t count;
  float* c;    // [4][16][16], tiles (rows, columns) 00 01 10 11
  bool first;  // C starts at zero instead of at c
};

CAUDAL_AMX_INLINE void prefetch(const Pass& pass, std::int64_t block) {
  const char* line = pass.b_ahead + block * pass.lines_per_block * 64;
  for (std::int64_t i = 0; i < pass.lines_per_block; ++i) _mm_prefetch(line + i * 64, _MM_HINT_T0);
}

CAUDAL_AMX void multiply_two(const Pass& pass) {
  if (pass.first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, pass.c, 64);
    _tile_loadd(1, pass.c + 256, 64);
    _tile_loadd(2, pass.c + 512, 64);
    _tile_loadd(3, pass.c + 768, 64);
  }
  for (std::int64_t k = 0; k < pass.count; ++k) {
    _tile_loadd(4, pass.a0 + k * amx::kElements, 64);
    _tile_loadd(6, pass.b + 2 * k * amx::kElements, 64);
    _tile_loadd(7, pass.b + (2 * k + 1) * amx::kElements, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, pass.a1 + k * amx::kElements, 64);
    _tile_dpbf16ps(1, 4, 7);
    prefetch(pass, k);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, pass.c, 64);
  _tile_stored(1, pass.c + 256, 64);
  _tile_stored(2, pass.c + 512, 64);
  _tile_stored(3, pass.c + 768, 64);
}

CAUDAL_AMX void multiply_one(const Pass& pass) {
  if (pass.first) {
    _tile_zero(0);
    _tile_zero(1);
  } else {
    _tile_loadd(0, pass.c, 64);
    _tile_loadd(1, pass.c + 256, 64);
  }
  for (std::int64_t k = 0; k < pass.count; ++k) {
    prefetch(pass, k);
    _tile_loadd(4, pass.a0 + k * amx::kElements, 64);
    _tile_loadd(6, pass.b + 2 * k * amx::kElements, 64);
    _tile_loadd(7, pass.b + (2 * k + 1) * amx::kElements, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
  }
  _tile_stored(0, pass.c, 64);
  _tile_stored(1, pass.c + 256, 64);
}

// out[row .. row + rows)[32 columns of the panel] = c + bias
template <typename T>
CAUDAL_AMX void write_block(const Gemm& gemm, const float* c, std::int64_t row, std::int64_t rows, std::int64_t panel) {
  const std::int64_t columns = gemm.weight->out_features - panel * kPanel;
  const __mmask16 mask0 = amx::first_lanes(columns), mask1 = amx::first_lanes(std::max<std::int64_t>(0, columns - 16));
  const float* bias = gemm.weight->bias + panel * kPanel;
  const __m512 bias0 = _mm512_loadu_ps(bias), bias1 = _mm512_loadu_ps(bias + 16);
  T* out = gemm.out->as<T>() + row * gemm.out->stride0() + panel * kPanel;
  for (std::int64_t i = 0; i < rows; ++i, out += gemm.out->stride0()) {
    const float* values = c + i / 16 * 512 + i % 16 * 16;
    amx::store(_mm512_add_ps(_mm512_loadu_ps(values), bias0), out, mask0);
    amx::store(_mm512_add_ps(_mm512_loadu_ps(values + 256), bias1), out + 16, mask1);
  }
}

// Rows [row, row + num_rows) by panels [begin, end); c holds ceil(num_rows / 32) blocks per panel.
CAUDAL_AMX void run_task(const Gemm& gemm, std::int64_t row, std::int64_t num_rows, std::int64_t begin,
                         std::int64_t end, float* c) {
  const amx::TileScope tiles;
  const std::int64_t num_passes = gemm.num_rows <= kStreamRows ? 1 : (gemm.blocks_k + kMaxBlocksK - 1) / kMaxBlocksK;
  const std::int64_t num_row_blocks = (num_rows + 31) / 32;
  const std::int64_t row_tile_elements = gemm.blocks_k * amx::kElements;
  for (std::int64_t pass_index = 0; pass_index < num_passes; ++pass_index) {
    const std::int64_t k_begin = gemm.blocks_k * pass_index / num_passes;
    const std::int64_t k_end = gemm.blocks_k * (pass_index + 1) / num_passes;
    for (std::int64_t panel = begin; panel < end; ++panel) {
      const BF16* b = gemm.weight->panel<BF16>(panel) + 2 * k_begin * amx::kElements;
      // While one row block computes, fetch its share of the next panel; a single one streams its own.
      const auto panel_bytes = static_cast<std::int64_t>(gemm.weight->panel_bytes);
      const std::int64_t lines = (32 + num_row_blocks - 1) / num_row_blocks;
      const char* ahead = reinterpret_cast<const char*>(b) + (num_row_blocks == 1 ? kStreamAhead : panel_bytes);
      for (std::int64_t block = 0; block < num_row_blocks; ++block) {
        const std::int64_t block_row = row + block * 32, rows = std::min<std::int64_t>(32, row + num_rows - block_row);
        const BF16* a0 = gemm.a + block_row / 16 * row_tile_elements + k_begin * amx::kElements;
        float* block_c = num_passes == 1 ? c : c + ((panel - begin) * num_row_blocks + block) * kBlockC;
        const std::int64_t count = k_end - k_begin;
        const Pass pass{a0,      a0 + row_tile_elements, b, ahead + block * count * lines * 64, lines, count,
                        block_c, pass_index == 0};
        rows > 16 ? multiply_two(pass) : multiply_one(pass);
        if (pass_index + 1 < num_passes) continue;
        amx::fence();
        gemm.out->dtype() == DType::kF32 ? write_block<float>(gemm, block_c, block_row, rows, panel)
                                         : write_block<BF16>(gemm, block_c, block_row, rows, panel);
        amx::fence();
      }
    }
  }
}

// x rows [16 tile, 16 tile + 16) -> [k blocks][16][32], zeros past the last row and column.
void pack_rows(const Tensor& x, std::int64_t tile, std::int64_t blocks_k, BF16* packed) {
  const std::int64_t in = x.dim(1), rows = std::min<std::int64_t>(16, x.dim(0) - tile * 16);
  if (rows < 16 || in % kBlockK != 0) std::memset(packed, 0, static_cast<std::size_t>(blocks_k * amx::kElements) * 2);
  for (std::int64_t block = 0; block < blocks_k; ++block) {
    const auto bytes = std::min(kBlockK, in - block * kBlockK) * sizeof(BF16);
    const BF16* source = x.as<BF16>() + tile * 16 * x.stride0() + block * kBlockK;
    BF16* destination = packed + block * amx::kElements;
    for (std::int64_t row = 0; row < rows; ++row) {
      std::memcpy(destination + row * amx::kDepth, source + row * x.stride0(), bytes);
    }
  }
}

const BF16* pack_all_rows(CpuContext& context, const Tensor& x, std::int64_t blocks_k) {
  const std::int64_t num_tiles = (x.dim(0) + 15) / 16, tile_elements = blocks_k * amx::kElements;
  BF16* packed = context.op_scratch().get<BF16>(num_tiles * tile_elements);
  const auto pack = [&](std::int64_t tile) { pack_rows(x, tile, blocks_k, packed + tile * tile_elements); };
  if (num_tiles <= 2) {  // cheaper than waking threads
    for (std::int64_t tile = 0; tile < num_tiles; ++tile) pack(tile);
  } else {
    context.parallel_tasks(num_tiles, [&](std::int64_t tile, int) { pack(tile); });
  }
  return packed;
}

}  // namespace

void linear_amx(CpuContext& context, const Tensor& x, const PackedMatrix& weight, const Tensor& out) {
  const std::int64_t blocks_k = num_blocks_k(weight), num_rows = x.dim(0), num_panels = weight.num_panels();
  const Gemm gemm{pack_all_rows(context, x, blocks_k), num_rows, &weight, &out, blocks_k};
  const std::int64_t row_tasks = (num_rows + kTaskRows - 1) / kTaskRows;
  const std::int64_t per_thread = num_panels / (std::int64_t{4} * context.num_threads());
  const std::int64_t panels = std::clamp<std::int64_t>(per_thread, 1, kMaxTaskPanels);
  const std::int64_t panel_tasks = (num_panels + panels - 1) / panels;
  context.parallel_tasks(row_tasks * panel_tasks, [&](std::int64_t task, int thread) {
    const std::int64_t row = task / panel_tasks * kTaskRows, rows = std::min(kTaskRows, num_rows - row);
    const std::int64_t begin = task % panel_tasks * panels, end = std::min(num_panels, begin + panels);
    const std::int64_t blocks = (rows + 31) / 32 * panels;
    float* c = context.thread_scratch(thread).get<float>(blocks * kBlockC);
    run_task(gemm, row, rows, begin, end, c);
  });
}

}  // namespace caudal
