// Which instruction sets this process may use: what the CPU has, what the OS granted, and the user's cap.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.h"

namespace caudal {

// In rising order, so that a cap is a comparison. kAvx512 needs F, BW, DQ, VL (what Highway calls AVX3);
// kAvx512Vnni needs avx512-vnni too;
// kAmx needs amx-tile, amx-bf16 and avx512-bf16 too. Machines that differ in more are treated as the lower one.
enum class Isa : std::uint8_t { kBaseline, kAvx2, kAvx512, kAvx512Vnni, kAmx };

const char* isa_name(Isa isa);  // "baseline", "avx2", "avx512", "avx512_vnni", "amx"

// The best set this process may use. On Linux the first call asks the kernel for the AMX tile state, which
// every thread created later inherits.
Isa best_isa();

// best_isa() capped by `max_isa` ("" = no cap). An Error for an unknown name.
Result<Isa> choose_isa(const std::string& max_isa);

}  // namespace caudal
