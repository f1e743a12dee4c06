// CHECK: assertions for our own bugs, on in every build, also with NDEBUG.
// Never used for what a user, a file or the network can cause: that is Result<T>.
#pragma once

namespace caudal {

// Prints "file:line: CHECK(condition) failed: message" with a newline to stderr and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* message);

}  // namespace caudal

#define CHECK_MSG(condition, message)                                  \
  do {                                                                 \
    if (!(condition)) [[unlikely]]                                     \
      ::caudal::check_failed(__FILE__, __LINE__, #condition, message); \
  } while (false)

#define CHECK(condition) CHECK_MSG(condition, "")
