#include "coordinator/gateway/api/openai_logprobs.h"

#include <fmt/core.h>

#include <algorithm>

namespace caudal {
namespace {

Result<void> settle_count(std::int32_t& count, std::int32_t vocab_size, std::int32_t max_logprobs, const char* field) {
  const std::int32_t most = max_logprobs < 0 ? vocab_size : max_logprobs;
  if (count == kWholeVocabulary) count = vocab_size;
  if (count <= most) return {};
  return Error{fmt::format("It must be at most {}, which is what this server allows.", most), field};
}

Result<void> settle_named(ApiRequest& request) {
  std::vector<TokenId>& named = request.params.sampling.logprob_token_ids;
  if (named.empty()) return {};
  if (request.num_logprobs < 0) return Error{"It needs logprobs.", "logprob_token_ids"};
  std::ranges::sort(named);
  named.erase(std::unique(named.begin(), named.end()), named.end());
  return {};
}

// Beside what takes no more than the prompt, there is nothing to say about no token.
Result<void> check_no_tokens(const ApiRequest& request) {
  if (request.max_tokens != 0 || request.echo || request.params.num_prompt_logprobs >= 0) return {};
  return Error{"It must be at least 1, unless echo or prompt_logprobs asks for the prompt alone.", "max_tokens"};
}

}  // namespace

Result<void> settle_logprobs(ApiRequest& request, std::int32_t vocab_size, std::int32_t max_logprobs) {
  const bool chat = request.endpoint == Endpoint::kChat;
  if (chat) {
    if (request.num_logprobs > 0 && !request.logprobs) return Error{"It needs logprobs to be true.", "top_logprobs"};
    request.num_logprobs = request.logprobs ? std::max(request.num_logprobs, 0) : -1;
  }
  const char* field = chat ? "top_logprobs" : "logprobs";
  if (const auto done = settle_count(request.num_logprobs, vocab_size, max_logprobs, field); !done) return done.error();
  std::int32_t& of_prompt = request.params.num_prompt_logprobs;
  if (const auto done = settle_count(of_prompt, vocab_size, max_logprobs, "prompt_logprobs"); !done)
    return done.error();
  request.tells_prompt_logprobs = of_prompt >= 0;
  if (request.tells_prompt_logprobs && request.stream)
    return Error{"It cannot be streamed; completions may stream echo with logprobs.", "prompt_logprobs"};
  if (request.echo) of_prompt = std::max(of_prompt, request.num_logprobs);
  if (const auto done = settle_named(request); !done) return done.error();
  request.params.sampling.num_logprobs = request.num_logprobs;
  return check_no_tokens(request);
}

}  // namespace caudal
