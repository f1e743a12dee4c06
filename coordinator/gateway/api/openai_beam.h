// Beam search as clients ask for it: `use_beam_search` and what goes with it, as vLLM names it, with the meanings of
// Hugging Face transformers. Called by openai_api.
#pragma once

#include "common/result.h"
#include "coordinator/gateway/api/api_request.h"

namespace caudal {

// After all parameters: fills request.beam, or refuses what contradicts it. Without use_beam_search refuses what makes
// sense only with it.
Result<void> settle_beam_search(ApiRequest& request);

}  // namespace caudal
