// Warp operations: a rendezvous per lane mask. Lanes leave pointers to their input and output; the last to
// arrive computes for all. Operation and call site are compared, so divergence is found where it happens.
// Only __syncwarp orders memory; shuffles and votes do not.
#include "kernels/cuda/emulation/simt/collective.h"

#include <algorithm>

namespace caudal::simt {
namespace {

WarpRendezvous& rendezvous_of(Warp& warp, std::uint32_t mask) {
  for (WarpRendezvous& r : warp.rendezvous) {
    if (r.mask == mask) return r;
  }
  const HostScope scope;
  warp.rendezvous.emplace_back();
  warp.rendezvous.back().mask = mask;
  return warp.rendezvous.back();
}

void check_call(const WarpRendezvous& r, const Warp& warp, const Collective& call, unsigned lane) {
  const auto name = [&] { return std::string(op_name(call.op)); };
  if ((r.mask >> lane & 1) == 0) fail(name() + ": calling lane is not in the mask", call.loc);
  if (call.aligned && warp.live != ~0U) fail(name() + " needs all 32 lanes (partial warp or exited lanes)", call.loc);
  if (r.arrived_mask == 0) return;
  if (r.op != call.op || (call.aligned && !(r.loc == call.loc))) {
    fail("warp divergence: this lane calls " + name() + ", another lane " + op_name(r.op) + " at " + at(r.loc),
         call.loc);
  }
}

void release(BlockState& s, WarpRendezvous& r, const Fiber* last) {
  std::uint32_t arrived = r.arrived_mask;
  r.arrived_mask = 0;
  r.op = Op::kNone;
  ++r.generation;
  ++s.stats.collectives;
  for (; arrived != 0; arrived &= arrived - 1) {
    Fiber* f = r.who[__builtin_ctz(arrived)];
    if (f != last) wake(s, *f);
  }
}

template <class F>
void for_lanes(std::uint32_t mask, F fn) {
  for (; mask != 0; mask &= mask - 1) fn(__builtin_ctz(mask));
}

template <class T>
const T& input(const WarpRendezvous& r, int lane) {
  return *static_cast<const T*>(r.in[lane]);
}
template <class T>
void give_all(const WarpRendezvous& r, T value) {
  for_lanes(r.arrived_mask, [&](int lane) { *static_cast<T*>(r.out[lane]) = value; });
}

std::uint32_t combine(std::uint32_t a, std::uint32_t b, Reduce op) {
  const auto signed_a = static_cast<std::int32_t>(a), signed_b = static_cast<std::int32_t>(b);
  switch (op) {
    case Reduce::kAdd:
      return a + b;
    case Reduce::kMinSigned:
      return static_cast<std::uint32_t>(std::min(signed_a, signed_b));
    case Reduce::kMaxSigned:
      return static_cast<std::uint32_t>(std::max(signed_a, signed_b));
    case Reduce::kMinUnsigned:
      return std::min(a, b);
    case Reduce::kMaxUnsigned:
      return std::max(a, b);
    case Reduce::kAnd:
      return a & b;
    case Reduce::kOr:
      return a | b;
    case Reduce::kXor:
      return a ^ b;
  }
  return a;
}

}  // namespace

const char* op_name(Op op) {
  constexpr const char* kNames[] = {"none",  "__syncwarp",  "shuffle",        "vote",      "reduce",
                                    "match", "ldmatrix",    "ldmatrix.trans", "stmatrix",  "mma",
                                    "wgmma", "wgmma.fence", "wgmma.commit",   "wgmma.wait"};
  return kNames[static_cast<int>(op)];
}

void run_collective(std::uint32_t mask, const Collective& call) {
  BlockState& s = state();
  Fiber& f = self();
  Warp& warp = s.warps[f.warp];
  WarpRendezvous& r = rendezvous_of(warp, mask & warp.present);
  SyncPoint& sync = r.sync[r.generation & 1];
  const bool orders_memory = call.op == Op::kSyncWarp;
  if (orders_memory) publish(f, sync);
  {
    const HostScope scope;
    check_call(r, warp, call, f.lane);
    if (r.arrived_mask == 0) r.op = call.op, r.loc = call.loc;
    r.in[f.lane] = call.in;
    r.out[f.lane] = call.out;
    r.who[f.lane] = &f;
    r.arrived_mask |= 1U << f.lane;
    if (r.arrived_mask == (r.mask & warp.live)) {
      if (call.compute != nullptr) call.compute(s, r, call.extra);
      release(s, r, &f);
    } else {
      wait_for(s, f, op_name(call.op), call.loc);
    }
  }
  if (orders_memory) join(f, sync);
}

// An exited lane counts as arrived at __syncwarp; at anything else it is missing data.
void leave_warp(BlockState& s, Fiber& f) {
  Warp& warp = s.warps[f.warp];
  warp.live &= ~(1U << f.lane);
  for (WarpRendezvous& r : warp.rendezvous) {
    if (r.arrived_mask == 0 || r.arrived_mask != (r.mask & warp.live)) continue;
    if (r.op != Op::kSyncWarp) fail(std::string(op_name(r.op)) + " with exited lanes in its mask", r.loc);
    release(s, r, nullptr);
  }
}

void sync_warp(std::uint32_t mask, Loc loc) { run_collective(mask, {.op = Op::kSyncWarp, .loc = loc}); }

std::uint32_t active_mask() { return state().warps[self().warp].live; }

std::uint64_t shuffle(std::uint32_t mask, std::uint64_t value, int source_lane, Loc loc) {
  struct In {
    std::uint64_t value;
    int source;
  };
  const In in{value, source_lane};
  std::uint64_t out = 0;
  if ((mask >> source_lane & 1) == 0) fail("shuffle: lane " + std::to_string(source_lane) + " is not in the mask", loc);
  const auto compute = [](BlockState&, WarpRendezvous& r, const void*) {
    for_lanes(r.arrived_mask, [&](int lane) {
      const int source = input<In>(r, lane).source;
      if ((r.arrived_mask >> source & 1) == 0) fail("shuffle: source lane has exited or is not in the block", r.loc);
      *static_cast<std::uint64_t*>(r.out[lane]) = input<In>(r, source).value;
    });
  };
  run_collective(mask, {.op = Op::kShuffle, .loc = loc, .in = &in, .out = &out, .compute = compute});
  return out;
}

std::uint32_t ballot(std::uint32_t mask, bool predicate, Loc loc) {
  std::uint32_t out = 0;
  const auto compute = [](BlockState&, WarpRendezvous& r, const void*) {
    std::uint32_t bits = 0;
    for_lanes(r.arrived_mask, [&](int lane) { bits |= static_cast<std::uint32_t>(input<bool>(r, lane)) << lane; });
    give_all(r, bits);
  };
  run_collective(mask, {.op = Op::kVote, .loc = loc, .in = &predicate, .out = &out, .compute = compute});
  return out;
}

std::uint32_t reduce(std::uint32_t mask, std::uint32_t value, Reduce op, Loc loc) {
  std::uint32_t out = 0;
  const auto compute = [](BlockState&, WarpRendezvous& r, const void* extra) {
    const int first = __builtin_ctz(r.arrived_mask);
    std::uint32_t all = input<std::uint32_t>(r, first);
    for_lanes(r.arrived_mask & (r.arrived_mask - 1),
              [&](int lane) { all = combine(all, input<std::uint32_t>(r, lane), *static_cast<const Reduce*>(extra)); });
    give_all(r, all);
  };
  run_collective(mask, {.op = Op::kReduce, .loc = loc, .in = &value, .out = &out, .compute = compute, .extra = &op});
  return out;
}

std::uint32_t match_any(std::uint32_t mask, std::uint64_t value, Loc loc) {
  std::uint32_t out = 0;
  const auto compute = [](BlockState&, WarpRendezvous& r, const void*) {
    for_lanes(r.arrived_mask, [&](int lane) {
      std::uint32_t same = 0;
      for_lanes(r.arrived_mask, [&](int other) {
        same |= static_cast<std::uint32_t>(input<std::uint64_t>(r, other) == input<std::uint64_t>(r, lane)) << other;
      });
      *static_cast<std::uint32_t*>(r.out[lane]) = same;
    });
  };
  run_collective(mask, {.op = Op::kMatch, .loc = loc, .in = &value, .out = &out, .compute = compute});
  return out;
}

}  // namespace caudal::simt
