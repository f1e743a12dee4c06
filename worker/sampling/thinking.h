// The limit of a model's thinking. A function of the output alone. Pure; step thread.
#pragma once

#include <optional>
#include <span>

#include "common/types.h"

namespace caudal {

// The token that must follow `output` and then `drafts` where the budget is used up: the next one of what ends the
// thinking. None where the model does not think, or has tokens left. A model begins to think within its first tokens or
// not at all.
std::optional<TokenId> end_of_thinking(const ThinkingParams& thinking, std::span<const TokenId> output,
                                       std::span<const TokenId> drafts = {});

}  // namespace caudal
