// Unicode normalization forms (UAX 15) with the data of Unicode 9, which is what the reference
// tokenizers were frozen at: a character assigned later is left alone and never reordered or composed.
// Properties come from utf8proc; linear time for any input, runs of combining marks included.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace caudal {

enum class NormalForm : std::uint8_t { kNfc, kNfd, kNfkc, kNfkd };

// `text` must be valid UTF-8.
std::string normalize_unicode(std::string_view text, NormalForm form);

}  // namespace caudal
