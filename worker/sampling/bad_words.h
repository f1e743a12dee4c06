// Bad words: token sequences that never come out whole. The last token of one is banned where the output ends with
// the ones before it; a word of one token always. As in vLLM, the prompt is no part of a match. Pure; step thread.
#pragma once

#include <span>
#include <vector>

#include "worker/batch/sequence_table.h"

namespace caudal {

// Appends what must not follow the sequence's output and then `drafts`.
void append_banned(const SequenceRow& sequence, std::span<const TokenId> drafts, std::vector<TokenId>& banned);

}  // namespace caudal
