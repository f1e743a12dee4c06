// The nouns that coordinator and worker share: ids, SamplingParams, StepPlan, StepResult.
// Plain data, no behaviour; common/wire carries it. The coordinator makes plans, every rank of a replica
// gets the same plan, rank 0 answers with one result per plan.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/block_size.h"

namespace caudal {

using TokenId = std::int32_t;
// Index into a replica's KV pool; the same on all ranks. A model's layers form KV groups with equal windows, which take
// their blocks from the one pool. Block tables have the same number of blocks for each group: with G groups,
// blocks[i * G + g] holds tokens [16 i, 16 i + 16) in the layers of group g.
using BlockId = std::int32_t;
using SlotId = std::int32_t;      // index into a worker's sequence table, 0 .. max_num_sequences - 1
using RequestId = std::uint64_t;  // unique within one start of a coordinator
using SequenceId = std::uint64_t;
using ReplicaId = std::uint32_t;
using StepId = std::uint64_t;  // rises by one per plan of a replica epoch, from 1
using Epoch = std::uint64_t;   // issued by the coordinator when a replica joins; never reused

inline constexpr int kMaxDraftTokens = 8;  // guesses for one sequence in one step, at the most
inline constexpr int kMaxKvGroups = 256;   // of a model
inline constexpr int kMaxCandidates = 64;  // next tokens of a beam that a worker tells, at the most

// How the next token of a sequence is chosen. Ranges are checked in coordinator/gateway/limits.
struct SamplingParams {
  float temperature = 1.0F;         // 0 = greedy
  float top_p = 1.0F;               // (0, 1]; 1 = off
  std::int32_t top_k = 0;           // 0 = off
  float min_p = 0.0F;               // [0, 1]; 0 = off; relative to the most likely token
  float repetition_penalty = 1.0F;  // > 0; over prompt and output (CTRL, arXiv 1909.05858)
  float presence_penalty = 0.0F;    // over output tokens
  float frequency_penalty = 0.0F;   // over output tokens, times their count
  std::uint64_t seed = 0;           // always set: from the client or drawn by the coordinator
  std::int32_t num_logprobs = -1;   // -1 = none; 0 = the sampled token's; n = and the n most likely
  std::vector<std::pair<TokenId, float>> logit_bias;
  std::vector<std::vector<TokenId>> bad_words{};  // none of them is ever completed in the output

  bool greedy() const { return temperature == 0.0F; }
  bool has_penalties() const {
    return repetition_penalty != 1.0F || presence_penalty != 0.0F || frequency_penalty != 0.0F;
  }
};

// When a sequence ends, decided on the worker in the step (stop strings are the gateway's).
struct StopParams {
  std::int32_t max_tokens = 16;         // generated tokens
  std::int32_t min_tokens = 0;          // stop tokens are masked until then
  std::vector<TokenId> stop_token_ids;  // includes the model's own unless ignore_eos
};

// Where guesses at the next tokens of a sequence may come from. Right guesses save steps; what is generated
// does not depend on them.
enum class SpeculativeMode : std::uint8_t {
  kOff,
  kNgram,  // what followed the same tokens earlier in the sequence
  kDraft,  // a smaller model
  kAuto,   // the first that finds something, else the second where there is one
};

enum class FinishReason : std::uint8_t {
  kNone,    // still running
  kStop,    // a stop token (or, set by the gateway, a stop string)
  kLength,  // max_tokens or the context length
  kAbort,   // cancelled
  kError,   // NaN logits and the like
};

// --- StepPlan ---

// A sequence that enters a worker's table, in full. Also how a sequence resumes after preemption,
// and how everything is told again to a replica that rejoins.
struct NewSequence {
  SlotId slot = 0;
  SequenceId sequence_id = 0;
  std::vector<TokenId> tokens;         // prompt, then what was generated before
  std::int32_t num_prompt_tokens = 0;  // tokens[0, num_prompt_tokens) is the prompt
  std::int32_t num_computed = 0;       // tokens whose KV is already in `blocks` (cached prefix)
  std::vector<BlockId> blocks;         // the block table so far: see BlockId
  SamplingParams sampling;
  StopParams stop;
  SpeculativeMode speculative = SpeculativeMode::kOff;
  // Nothing is drawn and the worker does not end it: once all tokens are computed, the sampling.num_logprobs most
  // likely next ones are told as candidates, and the token to go on with comes with the next work.
  bool is_beam = false;
};

// Work for one sequence in this step, in batch order. The worker computes
// min(num_tokens, its num_tokens - its num_computed) tokens from its own num_computed on; when that catches
// up with the last known token, it samples the next one. A slot that already finished is skipped.
// With num_draft_tokens > 0 the worker may then guess up to that many tokens, computes them too, and keeps the
// right ones: 1 .. num_draft_tokens + 1 tokens come out, the same as from as many plain steps. Blocks and the
// step's budget are there for num_tokens + num_draft_tokens.
struct ScheduledSequence {
  SlotId slot = 0;
  std::int32_t num_tokens = 0;
  std::vector<BlockId> new_blocks;  // appended to the block table before computing
  std::int32_t num_draft_tokens = 0;
  std::optional<TokenId> next_token{};  // of a beam: appended before computing
};

struct BlockCopy {
  BlockId source = 0;
  BlockId destination = 0;
};

// Applied in this order: released, new_sequences, swapped_out, swapped_in, block_copies, scheduled.
struct StepPlan {
  Epoch epoch = 0;
  StepId step_id = 0;
  std::vector<SlotId> released;
  std::vector<NewSequence> new_sequences;
  std::vector<BlockCopy> swapped_out;  // of preempted sequences: from KV blocks to blocks of the host pool
  std::vector<BlockCopy> swapped_in;   // of new sequences: from blocks of the host pool to KV blocks
  std::vector<BlockCopy> block_copies;
  std::vector<ScheduledSequence> scheduled;
};

// --- StepResult ---

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0F;
};

// What one scheduled sequence produced. Slots that were skipped as finished have no entry.
struct SequenceResult {
  SlotId slot = 0;
  SequenceId sequence_id = 0;
  std::int32_t num_computed = 0;  // the worker's counter after the step
  std::vector<TokenId> tokens;    // 0 in the middle of a prefill, else 1 (more with speculation)
  FinishReason finish_reason = FinishReason::kNone;
  std::vector<std::vector<TokenLogprob>> logprobs;  // per token: the sampled one, then the most likely; or empty
  std::int32_t num_drafted = 0;                     // tokens guessed
  std::int32_t num_accepted = 0;                    // of these, among `tokens`
  std::vector<TokenLogprob> candidates{};  // of a beam: what may come next, the most likely first; none of it banned
};

struct StepResult {
  Epoch epoch = 0;
  StepId step_id = 0;
  std::vector<SequenceResult> sequences;
  std::int64_t compute_us =
      0;                      // from taking the plan, or having the last step's tokens, to having the tokens, on rank 0
  std::int64_t draft_us = 0;  // of these, the draft model's
  std::int64_t draft_pass_us = 0;  // of those, one pass that guessed a token and nothing more; 0 = there was none
};

// What a replica tells about itself when it joins; the coordinator's capacities come from here.
struct ReplicaInfo {
  std::int32_t num_blocks = 0;
  std::int32_t max_num_sequences = 0;    // slots
  std::int32_t max_tokens_per_step = 0;  // the largest batch its workspace was planned for
  std::int32_t max_context_tokens = 0;   // longest prompt + output
  std::int32_t vocab_size = 0;
  std::int32_t tensor_parallel_size = 1;
  // By KV group, at least one, the first sees the furthest: a query at p reads no key up to p - window in the group's
  // layers. 0: it reads all.
  std::vector<std::int32_t> kv_windows{0};
  std::string model_digest;           // of the model's config: a replica of another model is refused
  std::int32_t max_draft_tokens = 0;  // per sequence and step; 0 = does not speculate
  bool has_draft_model = false;
  std::int32_t num_host_blocks = 0;  // in host memory, for the KV of preempted sequences
  std::int64_t swap_block_ns = 0;    // measured: one block to the host pool and back; 0 = not

  std::int32_t num_kv_groups() const { return static_cast<std::int32_t>(kv_windows.size()); }
};

}  // namespace caudal
