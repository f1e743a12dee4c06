// What tests ask of the emulation; on a GPU there is none and the answers are empty (device_gpu.cpp).
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace caudal::test {

enum class Sanitizer { kNone, kAddress, kThread };
Sanitizer sanitizer();  // that kernels were compiled with

// body(), or false with the text of the kernel error that it threw.
bool catch_error(const std::function<bool()>& body, std::string* error);

std::uint64_t count_bank_conflicts();  // of ldmatrix, since the last call

}  // namespace caudal::test
