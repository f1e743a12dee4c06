// Fibers: one per CUDA thread, on its own stack, never leaving its OS thread. The scheduler is a queue of
// those that can run; when it is empty and no copy is in flight, the block is deadlocked and says who waits where.
#include <sys/mman.h>

#include <chrono>
#include <map>
#include <thread>

#include "kernels/cuda/emulation/simt/state.h"

namespace caudal::simt {

namespace context = boost::context::detail;

constinit thread_local Thread* current = nullptr;

namespace {

// ThreadSanitizer: blocks run one after the other alternate between two sets of fibers, so that a race between
// blocks is seen although one OS thread runs them all.
thread_local std::unique_ptr<BlockState> states[2];
constinit thread_local BlockState* used_state = nullptr;

void exit_thread(BlockState& s, Fiber& f) {
  finish_copies(f, f.copy_group + 1);
  tsan::release(&f.exited);
  const HostScope scope;
  f.done = true;
  --s.live;
  leave_warp(s, f);
  leave_barriers(s);
  if (s.live > 0) {
    schedule(s);
  } else {
    switch_to(s, s.host);
  }
}

void run_thread(BlockState& s, Fiber& f) {
  tsan::switch_to(f.ids.self);
  tsan::acquire(&s.host.exited);
  try {
    s.grid->entry(s.grid->args);
    exit_thread(s, f);
  } catch (const std::exception& error) {
    tsan::release(&f.exited);
    tsan::switch_to(s.host.ids.self);
    tsan::acquire(&f.exited);
    s.error = error.what();
  }
  if (!s.error.empty()) switch_to(s, s.host);  // never resumed: the fibers are thrown away
}

void fiber_main(context::transfer_t transfer) {
  auto& f = *static_cast<Fiber*>(current);
  static_cast<Fiber*>(transfer.data)->context = transfer.fctx;
  BlockState& s = state();
  if constexpr (kAsan) {
    const void* bottom = nullptr;
    std::size_t size = 0;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
    if (transfer.data == &s.host) s.host.asan_bottom = bottom, s.host.asan_size = size;
  }
  for (;;) run_thread(s, f);  // once per block
}

// Of a few candidates, the one with the best random priority goes first.
void prefer_random(BlockState& s) {
  for (int i = 0; i < 4; ++i) {
    Fiber*& candidate = s.ready[s.random() % s.ready.size()];
    if (candidate->priority >= s.ready.front()->priority) std::swap(candidate, s.ready.front());
  }
}

}  // namespace

BlockState::~BlockState() {
  drop_fibers(*this);
  if (arena == nullptr) return;
  asan::unpoison(arena, kArenaBytes);  // the addresses may come back as somebody else's
  munmap(arena, kArenaBytes);
}

std::uint64_t BlockState::random() {  // xorshift64*
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state * 0x2545F4914F6CDD1DULL >> 11;
}

bool BlockState::async_is_early() {
  if (kTsan) return true;  // its clocks know what was waited for
  return config.async == Async::kEarly || (config.async == Async::kRandom && random() % 2 == 0);
}

BlockState& state() {
  if (used_state == nullptr) use_state(0);
  return *used_state;
}
void use_state(int index) {
  std::unique_ptr<BlockState>& s = states[index];
  if (!s) s = std::make_unique<BlockState>();
  used_state = s.get();
}

Fiber& self() {
  if (current == nullptr) throw Error("device function called outside a kernel");
  return *static_cast<Fiber*>(current);
}

HostScope::HostScope() {
  if constexpr (kTsan) tsan::switch_to(state().host.ids.self);
}
HostScope::~HostScope() {
  if constexpr (kTsan) {
    if (current != nullptr) tsan::switch_to(static_cast<Fiber*>(current)->ids.self);
  }
}

IdentityScope::IdentityScope(void*& identity, void* pc) : back_(tsan::current()), entered_(pc != nullptr) {
  if constexpr (kTsan) {
    if (identity == nullptr) {
      tsan::switch_to(state().host.ids.self);  // a new identity inherits the clock of its creator
      identity = tsan::create();
    }
    tsan::switch_to(identity);
    if (entered_) __tsan_func_entry(pc);
  }
}
IdentityScope::~IdentityScope() {
  if constexpr (kTsan) {
    if (entered_) __tsan_func_exit();
    tsan::switch_to(back_);
  }
}

void publish(Fiber& f, SyncPoint& point) {
  tsan::release(&point.generic);
  if (!kTsan || !config.check_proxy) return;
  const IdentityScope scope(f.ids.proxy);
  tsan::release(&point.proxy);
}
void join(Fiber& f, SyncPoint& point) {
  tsan::acquire(&point.generic);
  if (!kTsan || !config.check_proxy) return;
  const IdentityScope scope(f.ids.proxy);
  tsan::acquire(&point.proxy);
}

void switch_to(BlockState& s, Fiber& to) {
  Fiber& from = current != nullptr ? *static_cast<Fiber*>(current) : s.host;
  if (&from == &to) return;
  ++s.stats.switches;
  current = &to == &s.host ? nullptr : &to;
  if constexpr (kAsan) __sanitizer_start_switch_fiber(&from.asan_fake_stack, to.asan_bottom, to.asan_size);
  const context::transfer_t transfer = context::jump_fcontext(to.context, &from);
  static_cast<Fiber*>(transfer.data)->context = transfer.fctx;
  if constexpr (kAsan) __sanitizer_finish_switch_fiber(from.asan_fake_stack, nullptr, nullptr);
}

void schedule(BlockState& s) {
  if (!s.async_ops.empty() && config.shuffle && s.random() % 256 < s.async_eagerness) run_async_op(s);
  while (s.ready.empty()) {
    if (s.async_ops.empty()) return report_deadlock(s);
    run_async_op(s);
  }
  if (config.shuffle) prefer_random(s);
  Fiber& next = *s.ready.front();
  s.ready.pop_front();
  switch_to(s, next);
}

void wait_for(BlockState& s, Fiber& f, const char* what, Loc loc) {
  f.waits_for = what;
  f.waits_at = loc;
  s.spins = 0;
  schedule(s);
}

void yield() {
  constexpr unsigned kEndless = 2'000'000;
  BlockState& s = state();
  Fiber& f = self();
  const HostScope scope;
  f.waits_for = "a poll";
  if (++s.spins > kEndless) report_deadlock(s);
  wake(s, f);
  if (s.ready.size() == 1 && !s.async_ops.empty()) run_async_op(s);
  schedule(s);
}

// The other process needs the core more than this poll.
void yield_to_peer() {
  constexpr unsigned kPollsPerPause = 16;
  BlockState& s = state();
  Fiber& f = self();
  const HostScope scope;
  f.waits_for = "a peer";
  if (++s.peer_polls % kPollsPerPause == 0) std::this_thread::sleep_for(std::chrono::microseconds(20));
  wake(s, f);
  schedule(s);
}

std::uint64_t now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

void report_deadlock(BlockState& s) {
  {
    std::map<std::string, int> waiting;
    for (unsigned i = 0; i < s.num_threads; ++i) {
      const Fiber& f = *s.fibers[i];
      if (!f.done) ++waiting[std::string(f.waits_for != nullptr ? f.waits_for : "running") + " at " + at(f.waits_at)];
    }
    const uint3& b = s.block.index;
    s.error = "deadlock in block " + std::to_string(b.x) + "," + std::to_string(b.y) + "," + std::to_string(b.z) + ": ";
    for (const auto& [where, count] : waiting) s.error += std::to_string(count) + " threads wait for " + where + "; ";
    s.error += std::to_string(s.num_threads - s.live) + " threads have exited";
  }
  switch_to(s, s.host);
}

void fail(const std::string& message, Loc loc) {
  std::string who;
  if (current != nullptr) {
    const uint3 &b = current->block->index, &t = current->index;
    who = "block " + std::to_string(b.x) + "," + std::to_string(b.y) + "," + std::to_string(b.z) + " thread " +
          std::to_string(t.x) + "," + std::to_string(t.y) + "," + std::to_string(t.z) + ": ";
  }
  throw Error(who + message + " (" + at(loc) + ")");
}

std::string at(Loc loc) {
  const char* slash = std::strrchr(loc.file, '/');
  return std::string(slash != nullptr ? slash + 1 : loc.file) + ":" + std::to_string(loc.line);
}

void make_fibers(BlockState& s, unsigned count) {
  constexpr std::size_t kGuard = 4096, kPatterned = 16384;
  while (s.fibers.size() < count) {
    auto f = std::make_unique<Fiber>();
    void* memory =
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw Error("no memory for the stack of an emulated thread");
    f->stack = static_cast<char*>(memory);
    mprotect(f->stack, kGuard, PROT_NONE);
    // Fresh pages are zero, which would hide a missing initialisation.
    raw_fill(f->stack + kStackBytes - kPatterned, 0xFF, kPatterned);
    f->context = context::make_fcontext(f->stack + kStackBytes, kStackBytes, fiber_main);
    f->asan_bottom = f->stack;
    f->asan_size = kStackBytes;
    f->ids.self = tsan::create();
    s.fibers.push_back(std::move(f));
  }
}

void drop_fibers(BlockState& s) {
  for (std::unique_ptr<Fiber>& f : s.fibers) {
    asan::unpoison(f->stack, kStackBytes);
    munmap(f->stack, kStackBytes);
    if constexpr (kTsan) {
      const Identities& ids = f->ids;
      for (void* id : {ids.self, ids.copies, ids.proxy, ids.matrix, ids.fence_acquired, ids.fence_released}) {
        if (id != nullptr) tsan::destroy(id);
      }
      (void)f.release();  // freeing it would look like a race
    }
  }
  s.fibers.clear();
}

Instrumentation instrumentation() {
  if (kAsan) return Instrumentation::kAddress;
  return kTsan ? Instrumentation::kThread : Instrumentation::kNone;
}
void poison(const void* memory, std::size_t bytes) { asan::poison(memory, bytes); }
void unpoison(const void* memory, std::size_t bytes) { asan::unpoison(memory, bytes); }

}  // namespace caudal::simt
