// The emulation of a CUDA device on a CPU: one fiber per CUDA thread, blocks spread over the machine's cores.
// What is here are the operations that device.h and ptx*.cuh are made of, and what tests need to steer and
// observe them. A kernel error (deadlock, divergence, bad address) ends the grid and is thrown from launch().
//
// Included by host compilers only. launch() may be called from any OS thread; one grid runs at a time.
#pragma once

#include <cuda.h>  // types only; nothing here links CUDA
#include <driver_types.h>
#include <vector_types.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace caudal::simt {

// The kernel line that calls an operation; the default argument of every operation that can wait or fail.
struct Loc {
  const char* file = "?";
  int line = 0;
  static constexpr Loc here(const char* f = __builtin_FILE(), int l = __builtin_LINE()) { return {f, l}; }
  bool operator==(const Loc& other) const {
    return line == other.line && (file == other.file || std::strcmp(file, other.file) == 0);
  }
};

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[noreturn]] void fail(const std::string& message, Loc loc);  // names block and thread

// When asynchronous copies and the operand reads of wgmma happen: at the wait that must see them, at the
// latest (finds a missing wait); at once (finds a buffer refilled too soon); or by chance.
enum class Async { kLate, kEarly, kRandom };

struct Config {
  bool shuffle = false;  // random priorities of warps and order of blocks, from `seed`
  bool reverse = false;  // last thread and block first
  std::uint64_t seed = 1;
  Async async = Async::kLate;
  bool check_proxy = true;  // with ThreadSanitizer: generic writes need fence.proxy.async before TMA or wgmma
  int num_workers = 0;      // OS threads; 0 = all cores. ThreadSanitizer always runs one
};
inline Config config;

struct Stats {
  std::uint64_t switches = 0, collectives = 0, mma = 0, ldmatrix = 0, bank_conflicts = 0, cp_async = 0, blocks = 0;
};
Stats take_stats();  // since the last call

// Which sanitizer the linked runtime was built for.
enum class Instrumentation { kNone, kAddress, kThread };
Instrumentation instrumentation();

// Makes AddressSanitizer report any access to these bytes: KV blocks and slots that a test does not own.
void poison(const void* memory, std::size_t bytes);
void unpoison(const void* memory, std::size_t bytes);

// ---- Launching ----
using Entry = void (*)(const void* args);
void run_grid(dim3 grid, dim3 block, std::size_t smem_bytes, Entry entry, const void* args);

// Who gets launches instead of running them at once: a stand-in for streams and graphs. Null: run at once.
using LaunchHook = void (*)(cudaStream_t stream, std::function<void()> run);
inline LaunchHook launch_hook = nullptr;

template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t smem_bytes, cudaStream_t stream,
            Args&&... args) {
  auto call = [kernel, params = std::tuple<Params...>(static_cast<Params>(args)...)] { std::apply(kernel, params); };
  auto run = [grid, block, smem_bytes, call] {
    run_grid(
        grid, block, smem_bytes, [](const void* c) { (*static_cast<const decltype(call)*>(c))(); }, &call);
  };
  if (launch_hook != nullptr) return launch_hook(stream, run);
  run();
}

// ---- The running thread ----
struct Block {
  dim3 grid_dim, block_dim;
  uint3 index;
};
struct Thread {
  uint3 index{};
  unsigned linear = 0, lane = 0, warp = 0;
  Block* block = nullptr;
};
extern constinit thread_local Thread* current;  // null outside kernels

// ---- Shared memory ----
void* dynamic_shared();
void* static_shared(const void* key, std::size_t bytes, std::size_t align);
std::uint32_t shared_address(const void* pointer);  // the 32-bit address ptx uses; checked

// ---- Barriers and warps ----
void sync_block(unsigned id, unsigned count, bool wait, Loc loc);  // count 0: all live threads
enum class Vote { kCount, kAnd, kOr };
int sync_block_vote(int predicate, Vote vote, Loc loc);
void sync_warp(std::uint32_t mask, Loc loc);
std::uint64_t shuffle(std::uint32_t mask, std::uint64_t value, int source_lane, Loc loc);
std::uint32_t ballot(std::uint32_t mask, bool predicate, Loc loc);
enum class Reduce { kAdd, kMinSigned, kMaxSigned, kMinUnsigned, kMaxUnsigned, kAnd, kOr, kXor };
std::uint32_t reduce(std::uint32_t mask, std::uint32_t value, Reduce op, Loc loc);
std::uint32_t match_any(std::uint32_t mask, std::uint64_t value, Loc loc);
std::uint32_t active_mask();
void before_atomic(void* address);
void after_atomic(void* address);
void fence();
void yield();          // for polls: lets the others run; a poll that never ends is a deadlock
void yield_to_peer();  // for polls of what another process writes, which may take long

// ---- Between devices: words that several of them reach ----
void store_release(std::uint32_t* address, std::uint32_t value);
std::uint32_t load_acquire(const std::uint32_t* address);
std::uint32_t load_relaxed(const std::uint32_t* address);
std::uint64_t now_ns();

// ---- Matrix fragments and cp.async ----
void ldmatrix(std::uint32_t* registers, int count, bool transpose, const void* row, Loc loc);
void stmatrix(const std::uint32_t* registers, int count, bool transpose, void* row, Loc loc);
enum class Half { kBF16, kF16 };
void mma_m16n8k16(float* d, const std::uint32_t* a, const std::uint32_t* b, Half type, Loc loc);
void cp_async(void* destination, const void* source, int bytes, int source_bytes, Loc loc);  // the rest is zero
void cp_async_commit();
void cp_async_wait(int groups_in_flight);

// ---- Hopper: mbarrier, bulk copies, wgmma ----
void mbarrier_init(void* barrier, unsigned count, Loc loc);
void mbarrier_arrive(void* barrier, unsigned count, int expect_bytes, Loc loc);
bool mbarrier_test(void* barrier, unsigned parity, Loc loc);
void mbarrier_wait(void* barrier, unsigned parity, Loc loc);
void fence_proxy_async();
void tma_load(void* destination, const CUtensorMap* map, void* barrier, const int* coordinate, int rank, Loc loc);
void bulk_load(void* destination, const void* source, unsigned bytes, void* barrier, Loc loc);
void wgmma_fence(Loc loc);
void wgmma_commit(Loc loc);
void wgmma_wait(int groups_in_flight, Loc loc);
struct WgmmaOperands {
  const std::uint32_t* a_registers = nullptr;  // or null: a_descriptor
  std::uint64_t a_descriptor = 0, b_descriptor = 0;
  Half type = Half::kBF16;
  bool accumulate = true, transpose_a = false, transpose_b = false;
};
void wgmma(float* d, int n, const WgmmaOperands& operands, Loc loc);  // m64 n k16, d [n / 2] per thread

// What cuTensorMapEncodeTiled does, for tiled maps with element strides of 1. dims[0] is the innermost;
// strides_bytes are of dims[1..]; rank entries each.
struct TensorMapShape {
  int element_bytes = 2, rank = 2;
  const std::uint64_t* dims = nullptr;
  const std::uint64_t* strides_bytes = nullptr;
  const std::uint32_t* box = nullptr;
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_NONE;
};
CUresult tensor_map_encode(CUtensorMap* out, const void* base, const TensorMapShape& shape);

template <class T>
std::uint64_t pack(T value) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class T>
T unpack(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace caudal::simt
