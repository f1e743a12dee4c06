// A GPU and an exchange between hosts know of each other's failures.
#pragma once

#include "kernels/comm/host_exchange.h"
#include "kernels/cuda/backend/cuda_context.h"

namespace caudal {

// `context` must outlive the exchange.
inline void watch_device(HostExchange& exchange, cuda::CudaContext& context) {
  exchange.set_device({.look =
                           [&context] {
                             context.glance();
                             return context.failure();
                           },
                       .fail = [&context](const Error& lost) { context.fail(lost.message); }});
}

}  // namespace caudal
