// cp.async: copies that a thread issues, groups and waits for. Late copies (the default) leave NaN in the
// destination until the wait; under ThreadSanitizer an agent of the thread makes them, and only the wait orders it.
#include <algorithm>

#include "kernels/cuda/emulation/simt/state.h"

namespace caudal::simt {
namespace {

void copy_now(const Copy& c) {
  raw_copy(c.destination, c.source, c.source_bytes);
  raw_fill(static_cast<char*>(c.destination) + c.source_bytes, 0, c.bytes - c.source_bytes);
}

void note_copy(Fiber& f, const Copy& c, void* pc) {
  if (!kTsan) return;
  tsan::release(&f.issued);
  const IdentityScope scope(f.ids.copies, pc);
  tsan::acquire(&f.issued);
  if (c.source_bytes > 0) tsan::read(c.source, c.source_bytes);
  tsan::write(c.destination, c.bytes);
  tsan::release(&f.group_done[f.copy_group % kGroupSlots]);
}

}  // namespace

void cp_async(void* destination, const void* source, int bytes, int source_bytes, Loc loc) {
  BlockState& s = state();
  Fiber& f = self();
  ++s.stats.cp_async;
  const std::size_t size = bytes;
  check_shared(destination, size, size, "cp.async", loc);
  if (source_bytes > 0) check_global(source, source_bytes, size, "cp.async", loc);
  const Copy copy{destination, source, bytes, source_bytes, f.copy_group};
  note_copy(f, copy, __builtin_return_address(0));
  const HostScope scope;
  if (s.async_is_early()) return copy_now(copy);
  raw_fill(destination, 0xFF, size);
  f.copies.push_back(copy);
}

void cp_async_commit() { ++self().copy_group; }

void cp_async_wait(int groups_in_flight) {
  Fiber& f = self();
  finish_copies(f, f.copy_group - std::min(static_cast<unsigned>(groups_in_flight), f.copy_group));
}

void finish_copies(Fiber& f, unsigned first_group_in_flight) {
  for (; f.first_copy < f.copies.size() && f.copies[f.first_copy].group < first_group_in_flight; ++f.first_copy) {
    copy_now(f.copies[f.first_copy]);
  }
  if (f.first_copy == f.copies.size()) {
    f.copies.clear();
    f.first_copy = 0;
  }
  for (; f.groups_done < std::min(first_group_in_flight, f.copy_group); ++f.groups_done) {
    tsan::acquire(&f.group_done[f.groups_done % kGroupSlots]);
  }
}

}  // namespace caudal::simt
