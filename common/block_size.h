// The size of a KV block, for those who need nothing else of common/types.h: device code.
#pragma once

namespace caudal {

inline constexpr int kBlockSize = 16;  // tokens

}  // namespace caudal
