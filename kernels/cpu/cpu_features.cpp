#include "kernels/cpu/cpu_features.h"

#include <cpuid.h>
#include <hwy/targets.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace caudal {
namespace {

// CPUID leaf 7 (Intel SDM volume 2A): ECX and EDX bits of subleaf 0, EAX bit of subleaf 1.
constexpr unsigned kAvx512VnniBit = 1U << 11;
constexpr unsigned kAmxBf16Bit = 1U << 22;
constexpr unsigned kAmxTileBit = 1U << 24;
constexpr unsigned kAvx512Bf16Bit = 1U << 5;

// arch_prctl(2): tile registers are 8 KiB of context, so Linux saves them only for processes that ask.
constexpr long kArchReqXcompPerm = 0x1023;
constexpr long kXfeatureTileData = 18;

bool cpu_has_vnni() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ecx & kAvx512VnniBit) != 0;
}

bool cpu_has_amx() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kAmxTileBit) == 0 || (edx & kAmxBf16Bit) == 0) return false;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kAvx512Bf16Bit) != 0;
}

bool os_grants_amx() { return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureTileData) == 0; }

Isa detect() {
  const std::int64_t targets = hwy::SupportedTargets();
  if ((targets & HWY_AVX3) != 0) {
    if (!cpu_has_vnni()) return Isa::kAvx512;
    return cpu_has_amx() && os_grants_amx() ? Isa::kAmx : Isa::kAvx512Vnni;
  }
  return (targets & HWY_AVX2) != 0 ? Isa::kAvx2 : Isa::kBaseline;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kBaseline:
      return "baseline";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Vnni:
      return "avx512_vnni";
    case Isa::kAmx:
      return "amx";
  }
  return "?";
}

Isa best_isa() {
  static const Isa best = detect();
  return best;
}

Result<Isa> choose_isa(const std::string& max_isa) {
  if (max_isa.empty()) return best_isa();
  for (Isa cap : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Vnni, Isa::kAmx}) {
    if (max_isa == isa_name(cap)) return std::min(cap, best_isa());
  }
  return Error{"max_isa must be amx, avx512_vnni, avx512, avx2 or baseline, not \"" + max_isa + "\"", "max_isa"};
}

}  // namespace caudal
