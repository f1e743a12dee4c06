#include "common/check.h"

#include <cstdio>
#include <cstdlib>

namespace caudal {

void check_failed(const char* file, int line, const char* condition, const char* message) {
  (void)std::fprintf(stderr, "%s:%d: CHECK(%s) failed%s%s\n", file, line, condition, *message ? ": " : "", message);
  (void)std::fflush(stderr);
  std::abort();
}

}  // namespace caudal
