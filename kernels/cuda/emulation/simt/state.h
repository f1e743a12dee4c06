// What the emulation knows about the block that an OS thread is running: its fibers, warps, barriers, shared
// memory and copies in flight. Private to kernels/cuda/emulation/simt; one BlockState per OS thread (two with
// ThreadSanitizer), never shared.
#pragma once

#include <array>
#include <atomic>
#include <boost/context/detail/fcontext.hpp>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/cuda/emulation/simt/runtime.h"
#include "kernels/cuda/emulation/simt/sanitizer.h"

namespace caudal::simt {

constexpr std::size_t kStackBytes = 256 << 10, kArenaBytes = 512 << 10, kMaxDynamicShared = 227 << 10;
constexpr unsigned kGroupSlots = 64;  // copy groups a thread can have in flight, for ThreadSanitizer

enum class Op {
  kNone,
  kSyncWarp,
  kShuffle,
  kVote,
  kReduce,
  kMatch,
  kLdmatrix,
  kLdmatrixTrans,
  kStmatrix,
  kMma,
  kWgmma,
  kWgmmaFence,
  kWgmmaCommit,
  kWgmmaWait
};
const char* op_name(Op op);

// The addresses of the two bytes are ThreadSanitizer's names for an edge. A thread has two clocks: what its
// own loads and stores know, and what the asynchronous proxy (TMA, wgmma) knows of them, which lags until
// fence.proxy.async. Barriers carry both.
struct SyncPoint {
  char generic = 0, proxy = 0;
};

struct Copy {
  void* destination = nullptr;
  const void* source = nullptr;
  int bytes = 0, source_bytes = 0;
  unsigned group = 0;
};

// ThreadSanitizer's identities of one CUDA thread: itself, and those that act for it.
struct Identities {
  void* self = nullptr;
  void* copies = nullptr;          // cp.async and bulk copies
  void* proxy = nullptr;           // the clock of the asynchronous proxy
  void* matrix = nullptr;          // operand reads of wgmma
  void* fence_acquired = nullptr;  // what atomics have read since the last fence
  void* fence_released = nullptr;  // what the last fence published to later atomics
};

struct Fiber : Thread {
  boost::context::detail::fcontext_t context{};
  char* stack = nullptr;
  bool done = true;
  const char* waits_for = nullptr;
  Loc waits_at{};
  unsigned priority = 0;
  std::vector<Copy> copies;
  std::size_t first_copy = 0;
  unsigned copy_group = 0, groups_done = 0;
  void* asan_fake_stack = nullptr;
  const void* asan_bottom = nullptr;
  std::size_t asan_size = 0;
  Identities ids;
  char issued = 0, exited = 0, proxy_fence = 0, memory_fence = 0, group_done[kGroupSlots] = {};
};

// Where up to N threads meet: each leaves a pointer to its input and output, the last one computes.
template <int N>
struct Rendezvous {
  std::uint32_t mask = 0, arrived_mask = 0;
  unsigned arrived = 0, generation = 0;
  Op op = Op::kNone;
  Loc loc{};
  const void* in[N] = {};
  void* out[N] = {};
  Fiber* who[N] = {};
  SyncPoint sync[2];
};
using WarpRendezvous = Rendezvous<32>;

struct Warp {
  std::uint32_t present = 0, live = 0;
  std::deque<WarpRendezvous> rendezvous;  // one per mask in use
};

struct Barrier {
  unsigned expected = 0, arrived = 0, generation = 0;
  std::array<int, 3> votes{}, result{};  // indexed by Vote
  Loc loc{};
  std::vector<Fiber*> waiters;
  SyncPoint sync[2];
};

struct MBarrier {
  unsigned count = 0, pending = 0, phase = 0;
  int bytes = 0;  // expected and not yet arrived
  std::vector<Fiber*> waiters;
  SyncPoint sync[2];
};

struct Accumulator {
  int n = 0;
  std::vector<float> values;      // [64, n]
  std::vector<float*> registers;  // of the 128 threads
};
struct WgmmaOp {
  Accumulator* accumulator = nullptr;
  std::vector<float> a, b;  // [64, 16] and [n, 16]
  std::function<void(WgmmaOp&)> gather;
  bool accumulate = true, gathered = false;
  unsigned group = 0;
};
struct WarpGroup {
  Rendezvous<128> rendezvous;
  std::deque<Accumulator> accumulators;
  std::deque<WgmmaOp> ops;
  unsigned group = 0;
  bool fenced = false;
  char group_done[kGroupSlots] = {};
};

struct Grid {
  dim3 grid_dim, block_dim;
  std::size_t smem_bytes = 0;
  Entry entry = nullptr;
  const void* args = nullptr;
  std::vector<unsigned> order;
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::string error;  // the first; guarded by mutex
};

struct BlockState {
  Block block;
  Fiber host;  // the OS thread itself
  std::vector<std::unique_ptr<Fiber>> fibers;
  unsigned num_threads = 0, live = 0, spins = 0, peer_polls = 0;
  std::deque<Fiber*> ready;
  std::deque<std::function<void()>> async_ops;  // bulk copies in flight
  std::vector<Warp> warps;
  std::deque<WarpGroup> warp_groups;
  std::array<Barrier, 16> barriers;
  std::map<void*, MBarrier> mbarriers;
  char* arena = nullptr;  // dynamic shared memory, a red zone, then the static variables
  std::size_t dynamic_bytes = 0, static_top = 0;
  std::vector<std::pair<const void*, std::size_t>> statics;  // key, offset
  Grid* grid = nullptr;
  std::string error;
  unsigned async_eagerness = 0;  // of 256, with a shuffled schedule
  std::uint64_t random_state = 1;
  Stats stats;

  BlockState() = default;
  BlockState(const BlockState&) = delete;
  BlockState& operator=(const BlockState&) = delete;
  ~BlockState();

  std::uint64_t random();
  bool async_is_early();
};

// ---- fiber.cpp ----
BlockState& state();        // of this OS thread
void use_state(int index);  // which of its two
Fiber& self();              // the running CUDA thread; an Error outside kernels
void switch_to(BlockState& s, Fiber& to);
void wait_for(BlockState& s, Fiber& f, const char* what, Loc loc);  // sleeps until someone calls wake
inline void wake(BlockState& s, Fiber& f) { s.ready.push_back(&f); }
void schedule(BlockState& s);  // gives up the processor; the caller has queued itself somewhere
void report_deadlock(BlockState& s);
void make_fibers(BlockState& s, unsigned count);
void drop_fibers(BlockState& s);

// The runtime's own data must not look like the kernel's: its calls run under the OS thread's identity.
class HostScope {
 public:
  HostScope();
  ~HostScope();
  HostScope(const HostScope&) = delete;
  HostScope& operator=(const HostScope&) = delete;
};

// Runs a scope under another identity, made on first use; `pc` is the kernel line that reports show.
class IdentityScope {
 public:
  explicit IdentityScope(void*& identity, void* pc = nullptr);
  ~IdentityScope();
  IdentityScope(const IdentityScope&) = delete;
  IdentityScope& operator=(const IdentityScope&) = delete;

 private:
  void* back_ = nullptr;
  bool entered_ = false;
};

void publish(Fiber& f, SyncPoint& point);  // both clocks into the point
void join(Fiber& f, SyncPoint& point);     // and out of it

// ---- the life of a thread, told to those who count threads ----
void finish_copies(Fiber& f, unsigned first_group_in_flight);
void leave_warp(BlockState& s, Fiber& f);
void leave_barriers(BlockState& s);

// ---- shared_memory.cpp ----
void reset_shared_memory(BlockState& s, std::size_t dynamic_bytes);
void check_shared(const void* p, std::size_t bytes, std::size_t align, const char* what, Loc loc);
void check_global(const void* p, std::size_t bytes, std::size_t align, const char* what, Loc loc);
// 16-byte chunk (address bits 4..6) ^= bits 7..9, as far as the swizzle is wide; on the shared address.
inline std::uint32_t swizzled(std::uint32_t address, int bits) {
  return address ^ ((address >> 7 & ((1U << bits) - 1U)) << 4);
}

float half_to_float(std::uint16_t bits, Half type);  // matrix.cpp
void run_async_op(BlockState& s);                    // bulk_copy.cpp; one of async_ops

std::string at(Loc loc);  // "file:line"

}  // namespace caudal::simt
