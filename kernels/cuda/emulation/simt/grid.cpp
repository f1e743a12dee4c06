// Grids: blocks are handed to OS threads one at a time and run there to the end. Helper threads live as long
// as the process, so that fibers and their thread-local addresses stay where they are.
#include <condition_variable>
#include <thread>

#include "kernels/cuda/emulation/simt/state.h"

namespace caudal::simt {
namespace {

std::atomic<std::uint64_t> total_stats[sizeof(Stats) / sizeof(std::uint64_t)];

void start_threads(BlockState& s) {
  const dim3 dim = s.block.block_dim;
  for (unsigned i = 0; i < s.num_threads; ++i) {
    const unsigned linear = config.reverse ? s.num_threads - 1 - i : i;
    Fiber& f = *s.fibers[linear];
    f.index = {linear % dim.x, linear / dim.x % dim.y, linear / dim.x / dim.y};
    f.linear = linear;
    f.lane = linear % 32;
    f.warp = linear / 32;
    f.block = &s.block;
    f.done = false;
    f.waits_for = nullptr;
    f.copies.clear();
    f.first_copy = 0;
    f.copy_group = f.groups_done = 0;
    Warp& warp = s.warps[f.warp];
    warp.present |= 1U << f.lane;
    warp.live = warp.present;
    s.ready.push_back(&f);
  }
}

// Priorities by warp in most blocks, because whole warps run ahead of each other on a GPU.
void draw_schedule(BlockState& s) {
  constexpr unsigned kEagerness[3] = {0, 16, 128};
  s.async_eagerness = kEagerness[s.random() % 3];
  const bool by_warp = s.random() % 4 != 0;
  std::vector<unsigned> of_warp(s.warps.size());
  for (unsigned& p : of_warp) p = static_cast<unsigned>(s.random() % 1024);
  for (unsigned i = 0; i < s.num_threads; ++i) {
    s.fibers[i]->priority = by_warp ? of_warp[i / 32] * 8 + static_cast<unsigned>(s.random() % 8) : 0;
  }
}

// What a block must not leave behind.
std::string unfinished(const BlockState& s) {
  if (!s.async_ops.empty()) return "block exited with bulk copies in flight";
  for (const auto& [address, barrier] : s.mbarriers) {
    if (barrier.bytes != 0) return "block exited with an mbarrier whose expected bytes do not match its copies";
  }
  for (const WarpGroup& group : s.warp_groups) {
    if (!group.ops.empty()) return "block exited with wgmma in flight";
  }
  return {};
}

void run_block(BlockState& s, Grid& grid, unsigned linear) {
  const dim3 dim = grid.grid_dim;
  s.grid = &grid;
  s.block = {dim, grid.block_dim, {linear % dim.x, linear / dim.x % dim.y, linear / dim.x / dim.y}};
  s.num_threads = s.live = grid.block_dim.x * grid.block_dim.y * grid.block_dim.z;
  reset_shared_memory(s, grid.smem_bytes);
  s.warps.assign((s.num_threads + 31) / 32, {});
  s.warp_groups.clear();
  s.warp_groups.resize((s.num_threads + 127) / 128);
  s.mbarriers.clear();
  s.async_ops.clear();
  s.ready.clear();
  for (Barrier& b : s.barriers) b.arrived = 0, b.waiters.clear();
  make_fibers(s, s.num_threads);
  start_threads(s);
  if (config.shuffle) draw_schedule(s);
  tsan::release(&s.host.exited);
  ++s.stats.blocks;
  schedule(s);  // comes back when all threads have exited or one has failed
  if (s.error.empty()) s.error = unfinished(s);
  if (s.error.empty()) return;
  const std::lock_guard lock(grid.mutex);
  if (grid.error.empty()) grid.error = s.error;
  s.error.clear();
  grid.next = grid.order.size();
  drop_fibers(s);
}

// One OS thread's share of the grid.
void run_blocks(Grid& grid) {
  for (int i = 0; i < 2; ++i) {
    use_state(i);
    state().host.ids.self = tsan::current();
    state().random_state = (config.seed * 0x9E3779B97F4A7C15ULL + static_cast<unsigned>(i)) | 1;
  }
  for (std::size_t i = grid.next++; i < grid.order.size(); i = grid.next++) {
    use_state(kTsan ? static_cast<int>(i % 2) : 0);
    run_block(state(), grid, grid.order[i]);
  }
  for (int i = 1; i >= 0; --i) {
    use_state(i);
    BlockState& s = state();
    for (const std::unique_ptr<Fiber>& f : s.fibers) tsan::acquire(&f->exited);
    const auto* counts = reinterpret_cast<const std::uint64_t*>(&s.stats);
    for (std::size_t n = 0; n < std::size(total_stats); ++n) total_stats[n] += counts[n];
    s.stats = {};
  }
}

class Helpers {
 public:
  ~Helpers() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    for (std::thread& t : threads_) t.join();
  }

  void run(Grid& grid, std::size_t num_helpers) {
    {
      const std::lock_guard lock(mutex_);
      while (threads_.size() < num_helpers) threads_.emplace_back([this, seen = epoch_] { loop(seen); });
      grid_ = &grid;
      ++epoch_;
      busy_ = threads_.size();
    }
    changed_.notify_all();
    run_blocks(grid);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return busy_ == 0; });
  }

 private:
  void loop(std::uint64_t seen) {
    for (std::unique_lock lock(mutex_);;) {
      changed_.wait(lock, [&] { return stop_ || epoch_ != seen; });
      if (stop_) return;
      seen = epoch_;
      Grid* grid = grid_;
      lock.unlock();
      run_blocks(*grid);
      lock.lock();
      if (--busy_ == 0) changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Grid* grid_ = nullptr;
  std::uint64_t epoch_ = 0;
  std::size_t busy_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

void check_launch(dim3 grid, dim3 block, std::size_t smem_bytes) {
  const unsigned threads = block.x * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64) throw Error("kernel launch: invalid block size");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535) {
    throw Error("kernel launch: invalid grid size");
  }
  if (smem_bytes > kMaxDynamicShared) throw Error("kernel launch: dynamic shared memory over 227 KiB");
}

std::vector<unsigned> block_order(std::size_t count) {
  std::vector<unsigned> order(count);
  for (std::size_t i = 0; i < count; ++i) {
    order[i] = static_cast<unsigned>(config.reverse ? count - 1 - i : i);
  }
  if (!config.shuffle) return order;
  BlockState& s = state();
  s.random_state = (config.seed * 77) | 1;
  for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[s.random() % i]);
  return order;
}

}  // namespace

void run_grid(dim3 grid_dim, dim3 block_dim, std::size_t smem_bytes, Entry entry, const void* args) {
  static std::mutex one_grid;
  static Helpers helpers;
  check_launch(grid_dim, block_dim, smem_bytes);
  const std::lock_guard lock(one_grid);
  Grid grid;
  grid.grid_dim = grid_dim;
  grid.block_dim = block_dim;
  grid.smem_bytes = smem_bytes;
  grid.entry = entry;
  grid.args = args;
  grid.order = block_order(std::size_t{grid_dim.x} * grid_dim.y * grid_dim.z);
  std::size_t workers = config.num_workers > 0 ? static_cast<std::size_t>(config.num_workers)
                                               : std::max(1U, std::thread::hardware_concurrency());
  workers = kTsan ? 1 : std::min(workers, grid.order.size());
  if (workers == 1) {
    run_blocks(grid);
  } else {
    helpers.run(grid, workers - 1);
  }
  if (!grid.error.empty()) throw Error(grid.error);
}

Stats take_stats() {
  Stats stats;
  auto* counts = reinterpret_cast<std::uint64_t*>(&stats);
  for (std::size_t i = 0; i < std::size(total_stats); ++i) counts[i] = total_stats[i].exchange(0);
  return stats;
}

}  // namespace caudal::simt
