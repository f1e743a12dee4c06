// A scheduler of a screen: enough to drive a replica through chunked prefill, batches, growth block by block,
// recycling of blocks and preemption by recompute. The real one is the coordinator's.
#pragma once

#include <deque>
#include <vector>

#include "tests/worker/replica.h"

namespace caudal {

struct ToyRequest {
  std::vector<TokenId> prompt;
  GenerationParams params{.speculative = SpeculativeMode::kAuto};  // with num_draft_tokens
};

struct ToyAnswer {
  std::vector<TokenId> tokens;
  FinishReason finish_reason = FinishReason::kNone;
  std::vector<std::vector<TokenLogprob>> logprobs;         // per token, where asked for
  std::vector<std::vector<TokenLogprob>> prompt_logprobs;  // of the prompt's tokens but the first, likewise
};

struct ToyOptions {
  std::int32_t chunk = 1 << 20;  // most prompt tokens of a sequence in one step
  std::size_t max_running = 32;
  std::int32_t num_blocks = 0;        // of the pool; 0 = all the replica has
  std::int32_t num_draft_tokens = 0;  // of a sequence in a step
  std::size_t plans_in_flight = 1;    // 2: the next plan is made before the last result is back
};

struct ToyRun {
  std::vector<ToyAnswer> answers;  // in the order of the requests
  int num_preemptions = 0;
  int num_steps = 0;
  int num_drafted = 0;
  int num_accepted = 0;
};

ToyRun generate(TestReplica& replica, const std::vector<ToyRequest>& requests, const ToyOptions& options = {});

// Greedy, num_tokens long, no stop tokens.
ToyRequest greedy_request(std::vector<TokenId> prompt, std::int32_t num_tokens);

}  // namespace caudal
