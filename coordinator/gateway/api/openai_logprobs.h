// What a request wants to know of log-probabilities, of its answer and of its prompt. Pure, any thread.
#pragma once

#include <limits>

#include "common/result.h"
#include "coordinator/gateway/api/api_request.h"

namespace caudal {

// As many as the vocabulary has: -1 in a request.
inline constexpr std::int32_t kWholeVocabulary = std::numeric_limits<std::int32_t>::max();

// Checks the fields against each other and fills in what the worker gets. `max_logprobs` of each token; -1 = any
// number.
Result<void> settle_logprobs(ApiRequest& request, std::int32_t vocab_size, std::int32_t max_logprobs);

}  // namespace caudal
