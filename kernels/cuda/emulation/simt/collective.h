// One warp operation as its callers describe it; run by collectives.cpp.
#pragma once

#include "kernels/cuda/emulation/simt/state.h"

namespace caudal::simt {

struct Collective {
  Op op = Op::kNone;
  Loc loc{};
  bool aligned = false;  // ".aligned" in PTX: all 32 lanes, at the same instruction
  const void* in = nullptr;
  void* out = nullptr;
  void (*compute)(BlockState& s, WarpRendezvous& r, const void* extra) = nullptr;
  const void* extra = nullptr;
};
void run_collective(std::uint32_t mask, const Collective& call);

}  // namespace caudal::simt
