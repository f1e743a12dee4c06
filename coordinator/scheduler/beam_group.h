// BeamGroup: what the beams of one request share. Each beam is a Sequence; they are admitted, preempted and ended
// together, and each token is chosen for all at once, when every one of them has told its candidates. Sequence i
// stands for place i of the search. Owned by its RequestState; engine thread.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "coordinator/policy/beam_search.h"
#include "coordinator/request/request.h"

namespace caudal {

struct BeamGroup {
  BeamSearch search;
  std::vector<std::vector<TokenLogprob>> candidates;  // by place; empty: not told yet
  std::vector<bool> unwanted;                         // by choice: cancelled
  bool is_queued = false;                             // the first sequence stands in the waiting queue, for all
  StepId planned_in = 0;                              // the last step with work for one of them, where they run
};

// `request.beam` is set.
inline std::unique_ptr<BeamGroup> begin_search(const Request& request) {
  return std::make_unique<BeamGroup>(
      BeamGroup{.search = BeamSearch(*request.beam, request.stop.stop_token_ids, request.sampling.num_logprobs),
                .candidates = {},
                .unwanted = std::vector<bool>(static_cast<std::size_t>(request.num_sequences))});
}

// That a worker has to tell of each beam, so that as many as there are beams neither stop nor are banned.
inline std::int32_t num_candidates(const Request& request) {
  const auto most = static_cast<std::int64_t>(request.beam->width) + std::ssize(request.stop.stop_token_ids) +
                    std::ssize(request.sampling.bad_words);
  return static_cast<std::int32_t>(std::max<std::int64_t>(most, request.sampling.num_logprobs));
}

}  // namespace caudal
