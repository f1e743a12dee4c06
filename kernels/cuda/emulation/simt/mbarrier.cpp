// mbarrier: a phase ends when its arrivals are in and its expected bytes have come (PTX ISA, "mbarrier").
#include "kernels/cuda/emulation/simt/mbarrier.h"

namespace caudal::simt {

MBarrier& mbarrier_at(BlockState& s, void* address, const char* what, Loc loc) {
  check_shared(address, 8, 8, what, loc);
  const auto found = s.mbarriers.find(address);
  if (found == s.mbarriers.end()) fail(std::string(what) + ": mbarrier is not initialised", loc);
  return found->second;
}

void mbarrier_update(BlockState& s, MBarrier& barrier, int expect_bytes, unsigned arrivals, Loc loc) {
  if (arrivals > barrier.pending) fail("mbarrier: more arrivals than expected in this phase", loc);
  barrier.bytes += expect_bytes;
  barrier.pending -= arrivals;
  if (barrier.pending > 0 || barrier.bytes != 0) return;
  barrier.phase ^= 1;
  barrier.pending = barrier.count;
  s.spins = 0;
  for (Fiber* f : barrier.waiters) wake(s, *f);
  barrier.waiters.clear();
}

void mbarrier_init(void* address, unsigned count, Loc loc) {
  check_shared(address, 8, 8, "mbarrier.init", loc);
  tsan::write(address, 8);
  const HostScope scope;
  raw_fill(address, 0, 8);
  MBarrier barrier;
  barrier.count = barrier.pending = count;
  state().mbarriers[address] = barrier;
}

void mbarrier_arrive(void* address, unsigned count, int expect_bytes, Loc loc) {
  BlockState& s = state();
  tsan::read(address, 8);
  MBarrier& barrier = mbarrier_at(s, address, "mbarrier.arrive", loc);
  publish(self(), barrier.sync[barrier.phase]);
  const HostScope scope;
  mbarrier_update(s, barrier, expect_bytes, count, loc);
}

bool mbarrier_test(void* address, unsigned parity, Loc loc) {
  tsan::read(address, 8);
  MBarrier& barrier = mbarrier_at(state(), address, "mbarrier.test_wait", loc);
  if (barrier.phase == parity) return false;
  join(self(), barrier.sync[parity]);
  return true;
}

void mbarrier_wait(void* address, unsigned parity, Loc loc) {
  BlockState& s = state();
  Fiber& f = self();
  while (!mbarrier_test(address, parity, loc)) {
    const HostScope scope;
    mbarrier_at(s, address, "mbarrier.wait", loc).waiters.push_back(&f);
    wait_for(s, f, "an mbarrier", loc);
  }
}

}  // namespace caudal::simt
