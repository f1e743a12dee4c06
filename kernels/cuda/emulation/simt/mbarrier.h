// mbarriers as the copies that complete on them see them.
#pragma once

#include "kernels/cuda/emulation/simt/state.h"

namespace caudal::simt {

MBarrier& mbarrier_at(BlockState& s, void* address, const char* what, Loc loc);  // an Error when not initialised
void mbarrier_update(BlockState& s, MBarrier& barrier, int expect_bytes, unsigned arrivals, Loc loc);

}  // namespace caudal::simt
