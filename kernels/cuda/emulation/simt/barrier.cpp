// Block barriers: __syncthreads is barrier 0 over all live threads; bar.sync and bar.arrive name a barrier and
// a thread count. Also the fences of the memory model, which barriers imply.
#include "kernels/cuda/emulation/simt/state.h"

namespace caudal::simt {
namespace {

void release(BlockState& s, Barrier& b, const Fiber* last) {
  b.result = b.votes;
  b.arrived = 0;
  ++b.generation;
  for (Fiber* f : b.waiters) {
    if (f != last) wake(s, *f);
  }
  b.waiters.clear();
}

void check_arrival(const Barrier& b, unsigned id, unsigned count, Loc loc) {
  if (count % 32 != 0) fail("named barrier: the thread count is not a multiple of the warp size", loc);
  if (b.arrived == 0) return;
  if (b.expected != count) fail("barrier " + std::to_string(id) + ": threads disagree on the thread count", loc);
  if (count == 0 && !(b.loc == loc)) fail("divergent __syncthreads: another thread waits at " + at(b.loc), loc);
}

void count_vote(Barrier& b, int predicate) {
  b.votes[0] += predicate != 0;
  b.votes[1] &= predicate != 0;
  b.votes[2] |= predicate != 0;
}

int arrive(unsigned id, unsigned count, bool wait, int predicate, Vote vote, Loc loc) {
  BlockState& s = state();
  Fiber& f = self();
  if (id >= s.barriers.size()) fail("named barrier: ids are 0 to 15", loc);
  Barrier& b = s.barriers[id];
  SyncPoint& sync = b.sync[b.generation & 1];
  publish(f, sync);
  {
    const HostScope scope;
    check_arrival(b, id, count, loc);
    if (b.arrived == 0) b.expected = count, b.loc = loc, b.votes = {0, 1, 0};
    count_vote(b, predicate);
    if (++b.arrived == (count != 0 ? count : s.live)) {
      release(s, b, &f);
    } else if (wait) {
      b.waiters.push_back(&f);
      wait_for(s, f, id != 0 ? "a named barrier" : "__syncthreads", loc);
    }
  }
  if (wait) join(f, sync);
  return b.result[static_cast<std::size_t>(vote)];
}

}  // namespace

void sync_block(unsigned id, unsigned count, bool wait, Loc loc) { arrive(id, count, wait, 0, Vote::kCount, loc); }
int sync_block_vote(int predicate, Vote vote, Loc loc) { return arrive(0, 0, true, predicate, vote, loc); }

// __syncthreads waits for live threads only.
void leave_barriers(BlockState& s) {
  Barrier& b = s.barriers[0];
  if (b.arrived > 0 && b.expected == 0 && b.arrived == s.live) release(s, b, nullptr);
}

// The rules of C++ for fences around relaxed atomics: a fence parks the thread's clock in fence_released, which
// its next atomics publish on their address; what an atomic reads is parked in fence_acquired and joins the
// thread's clock at the next fence.
void before_atomic(void* address) {
  Fiber& f = self();
  if (!kTsan || f.ids.fence_released == nullptr) return;
  const IdentityScope scope(f.ids.fence_released);
  tsan::release(address);
}
void after_atomic(void* address) {
  if (!kTsan) return;
  const IdentityScope scope(self().ids.fence_acquired);
  tsan::acquire(address);
}
void fence() {
  if (!kTsan) return;
  Fiber& f = self();
  tsan::release(&f.memory_fence);
  {
    const IdentityScope scope(f.ids.fence_released);
    tsan::acquire(&f.memory_fence);
  }
  if (f.ids.fence_acquired == nullptr) return;
  {
    const IdentityScope scope(f.ids.fence_acquired);
    tsan::release(&f.memory_fence);
  }
  tsan::acquire(&f.memory_fence);
}

// Flags between devices: edges without a fence, from the releasing store to the loads that see it.
void store_release(std::uint32_t* address, std::uint32_t value) {
  tsan::release(address);
  std::atomic_ref<std::uint32_t>(*address).store(value, std::memory_order_release);
}
std::uint32_t load_acquire(const std::uint32_t* address) {
  auto* word = const_cast<std::uint32_t*>(address);
  const std::uint32_t value = std::atomic_ref<std::uint32_t>(*word).load(std::memory_order_acquire);
  tsan::acquire(word);
  return value;
}
std::uint32_t load_relaxed(const std::uint32_t* address) {
  return std::atomic_ref<std::uint32_t>(*const_cast<std::uint32_t*>(address)).load(std::memory_order_relaxed);
}

void fence_proxy_async() {
  if (!kTsan) return;
  Fiber& f = self();
  tsan::release(&f.proxy_fence);
  const IdentityScope scope(f.ids.proxy);
  tsan::acquire(&f.proxy_fence);
}

}  // namespace caudal::simt
