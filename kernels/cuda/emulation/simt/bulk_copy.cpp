// Bulk asynchronous copies: TMA tensor loads and cp.async.bulk. They run in the asynchronous proxy and
// complete on an mbarrier, in any order.
#include <bit>

#include "kernels/cuda/emulation/simt/mbarrier.h"

namespace caudal::simt {
namespace {

constexpr int kMaxRank = 5;

// What the emulation keeps in the 128 opaque bytes of a CUtensorMap.
struct TensorMap {
  std::uint64_t base = 0;
  std::uint32_t rank = 0, element_bytes = 0, swizzle_bits = 0, padding = 0;
  std::uint64_t dims[kMaxRank] = {}, strides[kMaxRank] = {};
  std::uint32_t box[kMaxRank] = {}, padding2 = 0;
};
static_assert(sizeof(TensorMap) <= sizeof(CUtensorMap));

std::uint32_t swizzle_bits(CUtensorMapSwizzle swizzle) {
  switch (swizzle) {
    case CU_TENSOR_MAP_SWIZZLE_128B:
      return 3;
    case CU_TENSOR_MAP_SWIZZLE_64B:
      return 2;
    case CU_TENSOR_MAP_SWIZZLE_32B:
      return 1;
    default:
      return 0;
  }
}

struct BoxCopy {
  TensorMap map;
  std::array<std::int64_t, kMaxRank> origin{};
  char* arena = nullptr;
  std::uint32_t to = 0;  // shared address

  // Box elements outside the tensor are zero.
  void operator()() const {
    const std::uint32_t row_bytes = map.box[0] * map.element_bytes;
    std::uint32_t rows = 1;
    for (std::uint32_t i = 1; i < map.rank; ++i) rows *= map.box[i];
    for (std::uint32_t row = 0; row < rows; ++row) copy_row(row, to + row * row_bytes);
  }

  void copy_row(std::uint32_t row, std::uint32_t destination) const {
    std::int64_t source = 0;
    bool inside = true;
    for (std::uint32_t i = 1; i < map.rank; row /= map.box[i], ++i) {
      const std::int64_t x = origin[i] + row % map.box[i];
      inside = inside && x >= 0 && x < static_cast<std::int64_t>(map.dims[i]);
      source += x * static_cast<std::int64_t>(map.strides[i]);
    }
    for (std::uint32_t e = 0; e < map.box[0]; ++e) {
      const std::int64_t x = origin[0] + e;
      char* out = arena + swizzled(destination + e * map.element_bytes, static_cast<int>(map.swizzle_bits));
      if (inside && x >= 0 && x < static_cast<std::int64_t>(map.dims[0])) {
        const std::int64_t offset = source + x * map.element_bytes;
        raw_copy(out, std::bit_cast<const char*>(map.base) + offset, map.element_bytes);
      } else {
        raw_fill(out, 0, map.element_bytes);
      }
    }
  }
};

template <class F>
void issue(void* destination, std::size_t bytes, void* barrier_address, F copy, void* pc, Loc loc) {
  BlockState& s = state();
  Fiber& f = self();
  MBarrier& barrier = mbarrier_at(s, barrier_address, "bulk copy", loc);
  if constexpr (kTsan) {
    tsan::read(barrier_address, 8);
    tsan::release(&f.issued);
    const IdentityScope scope(f.ids.copies, pc);
    tsan::acquire(&f.issued);
    tsan::write(destination, bytes);
    tsan::release(&barrier.sync[barrier.phase].generic);
    if (config.check_proxy) tsan::release(&barrier.sync[barrier.phase].proxy);
  }
  const HostScope scope;
  const auto complete = [&s, &barrier, bytes, copy, loc] {
    copy();
    mbarrier_update(s, barrier, -static_cast<int>(bytes), 0, loc);
  };
  if (s.async_is_early()) return complete();
  raw_fill(destination, 0xFF, bytes);
  s.async_ops.emplace_back(complete);
}

}  // namespace

void run_async_op(BlockState& s) {
  const std::size_t i = config.shuffle ? s.random() % s.async_ops.size() : 0;
  const std::function<void()> op = std::move(s.async_ops[i]);
  s.async_ops.erase(s.async_ops.begin() + static_cast<std::ptrdiff_t>(i));
  op();
}

CUresult tensor_map_encode(CUtensorMap* out, const void* base, const TensorMapShape& shape) {
  TensorMap map;
  map.base = reinterpret_cast<std::uint64_t>(base);
  map.rank = static_cast<std::uint32_t>(shape.rank);
  map.element_bytes = static_cast<std::uint32_t>(shape.element_bytes);
  map.swizzle_bits = swizzle_bits(shape.swizzle);
  bool ok = map.base % 16 == 0 && shape.rank >= 1 && shape.rank <= kMaxRank;
  for (int i = 0; ok && i < shape.rank; ++i) {
    map.dims[i] = shape.dims[i];
    map.box[i] = shape.box[i];
    map.strides[i] = i > 0 ? shape.strides_bytes[i - 1] : map.element_bytes;
    ok = map.box[i] >= 1 && map.box[i] <= 256 && map.dims[i] >= 1 && (i == 0 || map.strides[i] % 16 == 0);
  }
  const std::uint32_t inner = map.box[0] * map.element_bytes;
  const bool fits = map.swizzle_bits == 0 || inner <= 16U << map.swizzle_bits;
  if (!ok || inner % 16 != 0 || !fits) return CUDA_ERROR_INVALID_VALUE;
  raw_copy(out, &map, sizeof map);
  return CUDA_SUCCESS;
}

void tma_load(void* destination, const CUtensorMap* map, void* barrier, const int* coordinate, int rank, Loc loc) {
  BoxCopy copy;
  raw_copy(&copy.map, map, sizeof copy.map);
  if (static_cast<int>(copy.map.rank) != rank) fail("TMA: the rank differs from the tensor map's", loc);
  if (reinterpret_cast<std::uintptr_t>(map) % 64 != 0) fail("TMA: the tensor map is not 64-byte aligned", loc);
  std::size_t bytes = copy.map.element_bytes;
  for (int i = 0; i < rank; ++i) {
    bytes *= copy.map.box[i];
    copy.origin[i] = coordinate[i];
  }
  // A swizzle pattern repeats every 8 rows of its width.
  const std::size_t align = copy.map.swizzle_bits > 0 ? std::size_t{128} << copy.map.swizzle_bits : 128;
  check_shared(destination, bytes, align, "TMA", loc);
  copy.to = shared_address(destination);
  copy.arena = state().arena;
  issue(destination, bytes, barrier, copy, __builtin_return_address(0), loc);
}

void bulk_load(void* destination, const void* source, unsigned bytes, void* barrier, Loc loc) {
  check_shared(destination, bytes, 16, "cp.async.bulk", loc);
  check_global(source, bytes, 16, "cp.async.bulk", loc);
  if (bytes % 16 != 0) fail("cp.async.bulk: the size is not a multiple of 16", loc);
  tsan::read(source, bytes);
  issue(
      destination, bytes, barrier, [=] { raw_copy(destination, source, bytes); }, __builtin_return_address(0), loc);
}

}  // namespace caudal::simt
