// Whether this build watches every memory access: some 10 times slower, so tests that are long by number do
// less of the same.
#pragma once

namespace caudal::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace caudal::test
