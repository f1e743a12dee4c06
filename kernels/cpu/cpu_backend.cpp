// Making the CPU device, and what it says about itself.
#include "kernels/cpu/cpu_backend.h"

#include "kernels/cpu/make_cpu.h"

namespace caudal {
}  // namespace caudal
