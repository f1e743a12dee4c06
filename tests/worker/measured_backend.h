// A CPU of one thread that adds up what it is asked for. Nothing is subtracted: for what lives at the same time.
#pragma once

#include <memory>
#include <utility>

#include "kernels/factory/make_backend.h"
#include "tests/kernels/waiting_backend.h"

namespace caudal {

inline Result<std::unique_ptr<Backend>> one_core() { return make_backend({.num_threads = 1, .max_isa = ""}); }

class MeasuredBackend final : public WaitingBackend {
 public:
  MeasuredBackend() : WaitingBackend(std::move(one_core()).value()) {}

  Result<Buffer> allocate(std::size_t bytes) override {
    device_bytes += bytes;
    return WaitingBackend::allocate(bytes);
  }
  Result<Buffer> allocate_host(std::size_t bytes) override {
    host_bytes += bytes;
    return WaitingBackend::allocate_host(bytes);
  }
  Result<std::unique_ptr<Linear>> pack_linear(const LinearSource& source) override {
    Result<std::unique_ptr<Linear>> linear = WaitingBackend::pack_linear(source);
    if (linear) device_bytes += linear.value()->bytes();
    return linear;
  }

  std::size_t device_bytes = 0, host_bytes = 0;
};

}  // namespace caudal
