// best_of: more sequences than the client gets; the ones with the highest mean log-probability per token are its
// choices. Nothing can be sent before all have ended, so it collects deltas and hands out whole choices.
#pragma once

#include <vector>

#include "coordinator/gateway/generation/choice.h"

namespace caudal {

class BestOf {
 public:
  // Per prompt: `num_candidates` sequences compete for `num_kept` choices. Candidates are numbered as they would
  // be if all were choices.
  BestOf(std::size_t num_prompts, std::int32_t num_candidates, std::int32_t num_kept, bool keeps_logprobs);

  // Every token of a delta comes with its logprob.
  void add(ChoiceDelta delta);

  // Once, after the last delta: the choices in their order, the best of a prompt first; of equals the first.
  std::vector<ChoiceDelta> take();

 private:
  std::size_t num_candidates_;
  std::size_t num_kept_;
  bool keeps_logprobs_;
  std::vector<ChoiceDelta> candidates_;
};

}  // namespace caudal
