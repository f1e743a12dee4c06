// What answers tell of a prompt's tokens, as vLLM writes it. Text building only.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "coordinator/gateway/generation/choice.h"

namespace caudal {

// [1,2,3]
std::string token_ids_json(std::span<const TokenId> tokens);

// [null,{"<id>":{"logprob":...,"rank":...,"decoded_token":...},...},...]: of each token with its likeliest rivals. The
// rank of one that is not among those is null.
std::string prompt_logprobs_json(const PromptDetails& prompt,
                                 const std::function<const std::string&(TokenId)>& bytes_of);

// JSON has no infinities: the least a token can be is written as OpenAI does.
double finite(float logprob);

}  // namespace caudal
