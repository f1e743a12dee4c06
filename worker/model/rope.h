// Tables of the rotary embedding (Su et al., arXiv 2104.09864) with the published ways to stretch it:
// linear (arXiv 2306.15595), dynamic NTK, llama3, yarn (arXiv 2309.00071). Computed in float64, stored in
// f32. One table per run: a row depends on its position only, so a token is the same however it was chunked.
#pragma once

#include <cstdint>
#include <vector>

#include "common/model_files/rope_config.h"

namespace caudal {

// Radians per position of each rotated pair of a head: [head_dim / 2]. `context` is the longest context served, in
// tokens; dynamic scaling stretches to it (and not at all when the model reaches that far by itself).
std::vector<double> rope_frequencies(const RopeConfig& rope, std::int64_t head_dim, std::int64_t context);

// [context, 2, head_dim / 2]: cos then sin of position * frequency, times yarn's attention factor.
std::vector<float> rope_table(const RopeConfig& rope, std::int64_t head_dim, std::int64_t context);

}  // namespace caudal
