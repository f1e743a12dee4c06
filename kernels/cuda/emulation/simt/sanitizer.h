// What the emulation tells the sanitizers. The runtime itself is never instrumented (nothing in it may create
// an order between threads by accident), so each emulated access and each edge is reported here by hand.
// CAUDAL_SIMT_TSAN and CAUDAL_SIMT_ASAN say which sanitizer the kernels were compiled with; without them every
// function is empty.
#pragma once

#include <cstddef>

// The names are the sanitizers' own, and some are in no header of theirs.
// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
void __tsan_func_entry(void* pc);
void __tsan_func_exit();
void __asan_poison_memory_region(void const volatile* address, size_t bytes);
void __asan_unpoison_memory_region(void const volatile* address, size_t bytes);
void* __asan_region_is_poisoned(void* address, size_t bytes);
void __sanitizer_start_switch_fiber(void** fake_stack_save, const void* bottom, size_t size);
void __sanitizer_finish_switch_fiber(void* fake_stack_save, const void** old_bottom, size_t* old_size);
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

namespace caudal::simt {

#ifdef CAUDAL_SIMT_TSAN
inline constexpr bool kTsan = true;
#else
inline constexpr bool kTsan = false;
#endif
#ifdef CAUDAL_SIMT_ASAN
inline constexpr bool kAsan = true;
#else
inline constexpr bool kAsan = false;
#endif

// A discarded branch of `if constexpr` needs no definition of what it calls, so this links without sanitizers.
namespace tsan {
constexpr unsigned kNoSync = 1;  // a switch of fibers is not an edge between them
inline void* current() {
  if constexpr (kTsan) return __tsan_get_current_fiber();
  return nullptr;
}
inline void* create() {
  if constexpr (kTsan) return __tsan_create_fiber(kNoSync);
  return nullptr;
}
inline void destroy([[maybe_unused]] void* fiber) {
  if constexpr (kTsan) __tsan_destroy_fiber(fiber);
}
inline void switch_to([[maybe_unused]] void* fiber) {
  if constexpr (kTsan) __tsan_switch_to_fiber(fiber, kNoSync);
}
inline void acquire([[maybe_unused]] void* address) {
  if constexpr (kTsan) __tsan_acquire(address);
}
inline void release([[maybe_unused]] void* address) {
  if constexpr (kTsan) __tsan_release(address);
}
inline void read([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t bytes) {
  if constexpr (kTsan) __tsan_read_range(const_cast<void*>(address), bytes);
}
inline void write([[maybe_unused]] void* address, [[maybe_unused]] std::size_t bytes) {
  if constexpr (kTsan) __tsan_write_range(address, bytes);
}
}  // namespace tsan

namespace asan {
inline void poison([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t bytes) {
  if constexpr (kAsan) __asan_poison_memory_region(address, bytes);
}
inline void unpoison([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t bytes) {
  if constexpr (kAsan) __asan_unpoison_memory_region(address, bytes);
}
inline bool poisoned([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t bytes) {
  if constexpr (kAsan) return __asan_region_is_poisoned(const_cast<void*>(address), bytes) != nullptr;
  return false;
}
}  // namespace asan

// Copies and fills that no sanitizer intercepts: string instructions, where a compiler would call memcpy.
inline void raw_copy(void* to, const void* from, std::size_t bytes) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes)::"memory");
}
inline void raw_fill(void* to, unsigned char value, std::size_t bytes) {
  asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
}

}  // namespace caudal::simt
