// Which of the two written forms of EBNF a text is in. Pure.
#pragma once

#include <string_view>

#include "common/generation_params.h"

namespace caudal {

// GBNF has "::=", Lark's form does not.
inline GrammarKind kind_of_ebnf(std::string_view text) {
  return text.find("::=") != std::string_view::npos ? GrammarKind::kGbnf : GrammarKind::kLark;
}

}  // namespace caudal
