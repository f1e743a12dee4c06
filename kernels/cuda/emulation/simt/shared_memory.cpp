// The shared memory of a block: one arena with the dynamic part first, then the static variables in the order
// in which they are first reached. All of it starts as NaN; what lies between is poisoned for AddressSanitizer.
#include <sys/mman.h>

#include "kernels/cuda/emulation/simt/state.h"

namespace caudal::simt {
namespace {

constexpr std::size_t round_up(std::size_t n, std::size_t align) { return (n + align - 1) / align * align; }

bool inside_arena(const BlockState& s, const void* p, std::size_t bytes) {
  const auto offset = static_cast<const char*>(p) - s.arena;
  return offset >= 0 && static_cast<std::size_t>(offset) + bytes <= kArenaBytes;
}

bool misaligned(const void* p, std::size_t align) { return reinterpret_cast<std::uintptr_t>(p) % align != 0; }

}  // namespace

void reset_shared_memory(BlockState& s, std::size_t dynamic_bytes) {
  constexpr std::size_t kRedZone = 64, kStaticAlign = 1024;
  if (kTsan && s.arena != nullptr) {  // a fresh mapping, so that a block does not race with the one before it
    munmap(s.arena, kArenaBytes);
    s.arena = nullptr;
  }
  if (s.arena == nullptr) {
    void* memory =
        mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw Error("no memory for emulated shared memory");
    s.arena = static_cast<char*>(memory);
  }
  asan::poison(s.arena, kArenaBytes);
  asan::unpoison(s.arena, dynamic_bytes);
  raw_fill(s.arena, 0xFF, dynamic_bytes);  // NaN in f32, f16 and bf16
  s.dynamic_bytes = dynamic_bytes;
  s.static_top = round_up(dynamic_bytes + kRedZone, kStaticAlign);
  s.statics.clear();
}

void* dynamic_shared() { return state().arena; }

void* static_shared(const void* key, std::size_t bytes, std::size_t align) {
  constexpr std::size_t kRedZone = 32, kStaticLimit = 48 << 10;
  BlockState& s = state();
  const HostScope scope;
  for (const auto& [known, offset] : s.statics) {
    if (known == key) return s.arena + offset;
  }
  const std::size_t offset = round_up(s.static_top, align);
  s.static_top = round_up(offset + bytes + kRedZone, 16);
  if (bytes > kStaticLimit || s.static_top > kArenaBytes) fail("static shared memory exhausted", Loc::here());
  asan::unpoison(s.arena + offset, bytes);
  raw_fill(s.arena + offset, 0xFF, bytes);
  s.statics.emplace_back(key, offset);
  return s.arena + offset;
}

std::uint32_t shared_address(const void* pointer) {
  const BlockState& s = state();
  if (!inside_arena(s, pointer, 1)) fail("pointer is not in shared memory", Loc::here());
  return static_cast<std::uint32_t>(static_cast<const char*>(pointer) - s.arena);
}

void check_shared(const void* p, std::size_t bytes, std::size_t align, const char* what, Loc loc) {
  const BlockState& s = state();
  const std::size_t offset = static_cast<const char*>(p) - s.arena;
  const bool leaves_dynamic = offset < s.dynamic_bytes && offset + bytes > s.dynamic_bytes;
  if (!inside_arena(s, p, bytes) || leaves_dynamic) fail(std::string(what) + ": address outside shared memory", loc);
  if (misaligned(p, align)) fail(std::string(what) + ": misaligned shared memory address", loc);
  if (asan::poisoned(p, bytes)) fail(std::string(what) + ": address outside shared memory objects", loc);
}

void check_global(const void* p, std::size_t bytes, std::size_t align, const char* what, Loc loc) {
  if (misaligned(p, align)) fail(std::string(what) + ": misaligned global address", loc);
  if (asan::poisoned(p, bytes)) fail(std::string(what) + ": global address is out of bounds or poisoned", loc);
}

}  // namespace caudal::simt
