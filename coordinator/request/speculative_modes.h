// The names of the ways to speculate, as operators and clients write them.
#pragma once

#include <string_view>
#include <utility>

#include "common/types.h"

namespace caudal {

inline constexpr std::pair<std::string_view, SpeculativeMode> kSpeculativeModes[] = {{"off", SpeculativeMode::kOff},
                                                                                     {"ngram", SpeculativeMode::kNgram},
                                                                                     {"draft", SpeculativeMode::kDraft},
                                                                                     {"auto", SpeculativeMode::kAuto}};

}  // namespace caudal
