// Translates a regular expression from Oniguruma's dialect, in which tokenizer.json files are written,
// to PCRE2's. The dialects agree on what most tokenizers use; this closes the gaps: Unicode 16 categories,
// \s, \w and \h, (?m), {,n}, \u, and refuses what PCRE2 would silently read as something else.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace caudal {

// Errors name the construct and its byte position. The result is meant for PCRE2_UTF | PCRE2_UCP |
// PCRE2_MULTILINE (Oniguruma's ^ and $ always match at line ends).
Result<std::string> translate_oniguruma(std::string_view pattern);

}  // namespace caudal
