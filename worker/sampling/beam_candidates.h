// What may follow a beam: rank 0 tells it instead of a token, and the coordinator chooses. Step thread.
#pragma once

#include <vector>

#include "worker/batch/sequence_table.h"

namespace caudal {

// `sampled` is the beam's sample, with log-probabilities; on ranks that have none the result is empty. The most likely
// first, without what is banned.
std::vector<TokenLogprob> candidates_of(const SequenceRow& beam, const SamplingOutput& sampled);

}  // namespace caudal
