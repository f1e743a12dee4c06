// The factory of backends: the only file that knows which ones this build has.
#include "kernels/backend.h"

#include <fmt/core.h>

#include "kernels/cpu/make_cpu.h"

namespace caudal {

Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options) {
  if (options.device == "cpu") return make_cpu_backend(options);
  return Error{fmt::format("device must be \"cpu\" in this build, not \"{}\"", options.device), "device"};
}

}  // namespace caudal
