#include "coordinator/cluster/worker_check.h"

#include <algorithm>
#include <cmath>

namespace caudal {

namespace {

constexpr std::int32_t kMaxRanks = 4096;
constexpr std::int32_t kMaxBlocks = 1 << 26;
constexpr std::int32_t kMaxSequences = 1 << 16;
constexpr std::int32_t kMaxTokens = 1 << 24;          // of a step, a context, a vocabulary
constexpr std::int64_t kMaxUs = 3'600'000'000;        // of a step
constexpr std::int64_t kMaxBlockNs = 10'000'000'000;  // of one block's copies
constexpr std::size_t kMaxName = 1024;                // characters

bool is_within(std::int64_t value, std::int64_t lowest, std::int64_t highest) {
  return lowest <= value && value <= highest;
}

Error out_of_bounds(const char* field) { return {"out of bounds", field}; }

bool are_windows(const std::vector<std::int32_t>& windows) {
  return is_within(std::ssize(windows), 1, kMaxKvGroups) &&
         std::ranges::all_of(windows, [](std::int32_t window) { return is_within(window, 0, kMaxTokens); });
}

bool are_tokens(const std::vector<TokenLogprob>& entries, const ReplicaInfo& info) {
  return std::ranges::all_of(entries, [&](const TokenLogprob& entry) {
    return is_within(entry.token, 0, info.vocab_size - 1) && !std::isnan(entry.logprob);
  });
}

Result<void> check(const ReplicaInfo& info) {
  if (!is_within(info.num_blocks, 1, kMaxBlocks)) return out_of_bounds("num_blocks");
  if (!is_within(info.max_num_sequences, 1, kMaxSequences)) return out_of_bounds("max_num_sequences");
  if (!is_within(info.max_tokens_per_step, 1, kMaxTokens)) return out_of_bounds("max_tokens_per_step");
  if (!is_within(info.max_context_tokens, 1, kMaxTokens)) return out_of_bounds("max_context_tokens");
  if (!is_within(info.vocab_size, 1, kMaxTokens)) return out_of_bounds("vocab_size");
  if (!is_within(info.topology.tensor, 1, kMaxRanks)) return out_of_bounds("topology.tensor");
  if (!are_windows(info.kv_windows)) return out_of_bounds("kv_windows");
  if (info.model_digest.size() > kMaxName) return out_of_bounds("model_digest");
  if (!is_within(info.max_draft_tokens, 0, kMaxDraftTokens)) return out_of_bounds("max_draft_tokens");
  if (!is_within(info.num_host_blocks, 0, kMaxBlocks)) return out_of_bounds("num_host_blocks");
  if (!is_within(info.swap_block_ns, 0, kMaxBlockNs)) return out_of_bounds("swap_block_ns");
  return {};
}

Result<void> check(const SequenceResult& sequence, const ReplicaInfo& info) {
  const auto is_token = [&](TokenId token) { return is_within(token, 0, info.vocab_size - 1); };
  const auto is_list = [&](const std::vector<TokenLogprob>& entries) {  // the most likely, and those that are named
    return std::ssize(entries) <= 1 + 2 * std::int64_t{info.vocab_size} && are_tokens(entries, info);
  };
  if (!is_within(sequence.slot.value(), 0, info.max_num_sequences - 1)) return out_of_bounds("slot");
  if (!is_within(sequence.num_computed, 0, info.max_context_tokens)) return out_of_bounds("num_computed");
  if (std::ssize(sequence.tokens) > 1 + info.max_draft_tokens || !std::ranges::all_of(sequence.tokens, is_token))
    return out_of_bounds("tokens");
  if (sequence.logprobs.size() > sequence.tokens.size() || !std::ranges::all_of(sequence.logprobs, is_list))
    return out_of_bounds("logprobs");
  if (!is_within(sequence.num_drafted, 0, info.max_draft_tokens)) return out_of_bounds("num_drafted");
  if (!is_within(sequence.num_accepted, 0, sequence.num_drafted)) return out_of_bounds("num_accepted");
  if (std::ssize(sequence.candidates) > 1 + kMaxCandidates || !are_tokens(sequence.candidates, info))
    return out_of_bounds("candidates");
  const auto is_told = [&](const std::vector<TokenLogprob>& entries) { return !entries.empty() && is_list(entries); };
  if (std::ssize(sequence.prompt_logprobs) > info.max_tokens_per_step ||
      !std::ranges::all_of(sequence.prompt_logprobs, is_told))
    return out_of_bounds("prompt_logprobs");
  return {};
}

}  // namespace

Result<void> check(const Register& message) {
  if (message.replica_key.size() > kMaxName) return out_of_bounds("replica_key");
  Result<void> info = check(message.info);
  if (!info) return info;
  if (message.rank >= static_cast<std::uint32_t>(message.info.topology.num_ranks())) return out_of_bounds("rank");
  return {};
}

Result<void> check(const StepResult& result, const ReplicaInfo& info) {
  if (std::ssize(result.sequences) > info.max_num_sequences) return out_of_bounds("sequences");
  for (const SequenceResult& sequence : result.sequences) {
    Result<void> checked = check(sequence, info);
    if (!checked) return checked;
  }
  for (const std::int64_t us : {result.compute_us, result.draft_us, result.draft_pass_us}) {
    if (!is_within(us, 0, kMaxUs)) return out_of_bounds("compute_us");
  }
  return {};
}

}  // namespace caudal
