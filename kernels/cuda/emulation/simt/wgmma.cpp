// wgmma m64nNk16 (PTX ISA, "Asynchronous warpgroup-level matrix instructions"): the 128 threads of a warpgroup
// meet, operands are read from shared memory when the schedule says so, and the accumulator registers are NaN
// until wgmma.wait_group. Descriptors: start, leading and stride byte offsets / 16, and the swizzle mode.
#include <algorithm>

#include "kernels/cuda/emulation/simt/state.h"

namespace caudal::simt {
namespace {

constexpr int kM = 64, kK = 16, kThreads = 128;

// The last of the 128 threads runs fn(state, group).
template <class F>
void meet(Op op, const void* in, void* out, Loc loc, F fn) {
  BlockState& s = state();
  Fiber& f = self();
  WarpGroup& group = s.warp_groups[f.linear / kThreads];
  Rendezvous<kThreads>& r = group.rendezvous;
  if (kTsan && op == Op::kWgmma) {
    const IdentityScope scope(config.check_proxy ? f.ids.proxy : f.ids.self);
    tsan::release(&r.sync[r.generation & 1].proxy);
  }
  const HostScope scope;
  if (r.arrived == 0) {
    r.op = op;
    r.loc = loc;
  } else if (r.op != op || !(r.loc == loc)) {
    fail(std::string("warpgroup divergence: ") + op_name(op) + " against " + op_name(r.op) + " at " + at(r.loc), loc);
  }
  const unsigned thread = f.linear % kThreads;
  r.in[thread] = in;
  r.out[thread] = out;
  r.who[thread] = &f;
  if (++r.arrived < kThreads) return wait_for(s, f, op_name(op), loc);
  fn(s, group);
  r.arrived = 0;
  ++r.generation;
  for (Fiber* other : r.who) {
    if (other != &f) wake(s, *other);
  }
}

// fn(thread, register, row, column) for each element of D.
template <class F>
void for_accumulator(int n, F fn) {
  for (int t = 0; t < kThreads; ++t) {
    for (int j = 0; j < n / 2; ++j) {
      fn(t, j, 16 * (t / 32) + t % 32 / 4 + 8 * (j / 2 % 2), 8 * (j / 4) + 2 * (t % 4) + j % 2);
    }
  }
}

struct Operand {
  std::uint64_t descriptor = 0;
  bool mn_major = false;  // else K-major
  const char* arena = nullptr;
  std::size_t limit = 0;  // dynamic shared memory
  Loc loc{};

  const std::uint16_t* element(int mn, int k) const {
    const auto start = static_cast<std::uint32_t>((descriptor & 0x3FFF) << 4);
    const auto leading = static_cast<std::uint32_t>((descriptor >> 16 & 0x3FFF) << 4);
    const auto stride = static_cast<std::uint32_t>((descriptor >> 32 & 0x3FFF) << 4);
    const int mode = static_cast<int>(descriptor >> 62);  // 0 none, 1 128 bytes, 2 64, 3 32
    if ((descriptor >> 49 & 7) != 0) fail("wgmma: descriptor base offset is not supported by the emulation", loc);
    const auto width = mode != 0 ? 256U >> mode : 16U;
    const auto i = static_cast<std::uint32_t>(mn), j = static_cast<std::uint32_t>(k);
    std::uint32_t address = start;
    if (!mn_major) {
      address += i % 8 * width + i / 8 * stride;
      address += mode != 0 ? j * 2 : j / 8 * leading + j % 8 * 2;
    } else {
      const std::uint32_t across = width / 2;
      address += i % across * 2 + j % 8 * width;
      address += mode != 0 ? i / across * leading + j / 8 * stride : i / across * stride + j / 8 * leading;
    }
    address = swizzled(address, mode != 0 ? 4 - mode : 0);
    if (address + 2 > limit) fail("wgmma: descriptor reaches outside shared memory", loc);
    return reinterpret_cast<const std::uint16_t*>(arena + address);
  }
};

Accumulator& accumulator_of(WarpGroup& group, int n) {
  Rendezvous<kThreads>& r = group.rendezvous;
  const auto registers = [&](int t) { return static_cast<float*>(r.out[t]); };
  for (Accumulator& known : group.accumulators) {
    if (known.registers[0] != registers(0)) continue;
    for (int t = 0; t < kThreads; ++t) {
      for (int j = 0; j < n / 2; ++j) {
        if (pack(registers(t)[j]) != 0xFFFFFFFFU) fail("wgmma: accumulator registers were touched in flight", r.loc);
      }
    }
    return known;
  }
  Accumulator& fresh = group.accumulators.emplace_back();
  fresh.n = n;
  fresh.values.resize(std::size_t{kM} * n);
  for_accumulator(n, [&](int t, int j, int row, int column) { fresh.values[row * n + column] = registers(t)[j]; });
  for (int t = 0; t < kThreads; ++t) {
    fresh.registers.push_back(registers(t));
    raw_fill(registers(t), 0xFF, static_cast<std::size_t>(n) * 2);  // undefined until waited for
  }
  return fresh;
}

void check_agreement(const WarpGroup& group, Loc loc) {
  const auto of = [&](int t) -> const WgmmaOperands& {
    return *static_cast<const WgmmaOperands*>(group.rendezvous.in[t]);
  };
  for (int t = 1; t < kThreads; ++t) {
    if (of(t).a_descriptor != of(0).a_descriptor || of(t).b_descriptor != of(0).b_descriptor ||
        of(t).accumulate != of(0).accumulate) {
      fail("wgmma: descriptors or scale-d differ between threads", loc);
    }
  }
  if (!group.fenced) fail("wgmma without a preceding wgmma.fence", loc);
}

void take_register_operand(const WarpGroup& group, Half type, WgmmaOp& op) {
  for (int t = 0; t < kThreads; ++t) {
    const auto& in = *static_cast<const WgmmaOperands*>(group.rendezvous.in[t]);
    for (int j = 0; j < 4; ++j) {
      for (int half = 0; half < 2; ++half) {
        const int row = 16 * (t / 32) + t % 32 / 4 + 8 * (j & 1), k = 2 * (t % 4) + 8 * (j >> 1) + half;
        op.a[row * kK + k] = half_to_float(static_cast<std::uint16_t>(in.a_registers[j] >> (16 * half)), type);
      }
    }
  }
}

void gather(const Operand& operand, int rows, Half type, std::vector<float>& out) {
  for (int i = 0; i < rows; ++i) {
    for (int k = 0; k < kK; ++k) out[i * kK + k] = half_to_float(*operand.element(i, k), type);
  }
}

// The agent of thread 0 reads the operands, as the asynchronous proxy of all 128 threads knows memory.
void note_reads(WarpGroup& group, const Operand* a, const Operand& b, int n, void* pc) {
  if (!kTsan) return;
  Rendezvous<kThreads>& r = group.rendezvous;
  const IdentityScope scope(r.who[0]->ids.matrix, pc);
  tsan::acquire(&r.sync[r.generation & 1].proxy);
  for (int k = 0; k < kK; k += 8) {
    for (int i = 0; a != nullptr && i < kM; ++i) tsan::read(a->element(i, k), 2);
    for (int j = 0; j < n; ++j) tsan::read(b.element(j, k), 2);
  }
  tsan::release(&group.group_done[group.group % kGroupSlots]);
}

void execute(WgmmaOp& op) {
  if (!op.gathered) op.gather(op);
  const std::size_t n = op.accumulator->n;
  float* d = op.accumulator->values.data();
  for (std::size_t i = 0; i < kM; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      float sum = op.accumulate ? d[i * n + j] : 0.0F;
      for (std::size_t k = 0; k < kK; ++k) sum += op.a[i * kK + k] * op.b[j * kK + k];
      d[i * n + j] = sum;
    }
  }
}

// Gives the registers of accumulators that no operation in flight uses back to their threads.
void return_registers(WarpGroup& group) {
  for (auto it = group.accumulators.begin(); it != group.accumulators.end();) {
    const Accumulator& done = *it;
    const bool busy =
        std::any_of(group.ops.begin(), group.ops.end(), [&](const WgmmaOp& op) { return op.accumulator == &done; });
    if (busy) {
      ++it;
      continue;
    }
    for_accumulator(
        done.n, [&](int t, int j, int row, int column) { done.registers[t][j] = done.values[row * done.n + column]; });
    it = group.accumulators.erase(it);
  }
}

}  // namespace

void wgmma_fence(Loc loc) {
  meet(Op::kWgmmaFence, nullptr, nullptr, loc, [](BlockState&, WarpGroup& group) { group.fenced = true; });
}
void wgmma_commit(Loc loc) {
  meet(Op::kWgmmaCommit, nullptr, nullptr, loc, [](BlockState&, WarpGroup& group) { ++group.group; });
}

void wgmma_wait(int groups_in_flight, Loc loc) {
  unsigned finished = 0;
  meet(Op::kWgmmaWait, nullptr, &finished, loc, [groups_in_flight](BlockState&, WarpGroup& group) {
    const unsigned first = group.group - std::min(static_cast<unsigned>(groups_in_flight), group.group);
    while (!group.ops.empty() && group.ops.front().group < first) {
      execute(group.ops.front());
      group.ops.pop_front();
    }
    return_registers(group);
    group.fenced = false;
    for (void* out : group.rendezvous.out) *static_cast<unsigned*>(out) = first;
  });
  if (!kTsan || finished == 0) return;
  Fiber& f = self();
  char* done = &state().warp_groups[f.linear / kThreads].group_done[(finished - 1) % kGroupSlots];
  tsan::acquire(done);
  if (!config.check_proxy) return;
  const IdentityScope scope(f.ids.proxy);
  tsan::acquire(done);
}

void wgmma(float* d, int n, const WgmmaOperands& operands, Loc loc) {
  void* pc = __builtin_return_address(0);
  meet(Op::kWgmma, &operands, d, loc, [&](BlockState& s, WarpGroup& group) {
    check_agreement(group, loc);
    const Operand a{operands.a_descriptor, operands.transpose_a, s.arena, s.dynamic_bytes, loc};
    const Operand b{operands.b_descriptor, operands.transpose_b, s.arena, s.dynamic_bytes, loc};
    const bool a_in_shared = operands.a_registers == nullptr;
    WgmmaOp op;
    op.accumulator = &accumulator_of(group, n);
    op.a.resize(std::size_t{kM} * kK);
    op.b.resize(std::size_t{kK} * n);
    op.accumulate = operands.accumulate;
    op.group = group.group;
    if (!a_in_shared) take_register_operand(group, operands.type, op);
    op.gather = [a, b, n, a_in_shared, type = operands.type](WgmmaOp& self_op) {
      if (a_in_shared) gather(a, kM, type, self_op.a);
      gather(b, n, type, self_op.b);
      self_op.gathered = true;
    };
    note_reads(group, a_in_shared ? &a : nullptr, b, n, pc);
    if (s.async_is_early()) op.gather(op);
    group.ops.push_back(std::move(op));
  });
}

}  // namespace caudal::simt
