// The nouns that coordinator and worker share: ids, StepPlan, StepResult, ReplicaInfo. Plain data, no behaviour;
// common/wire carries it. The coordinator makes plans. Every rank of a replica gets the same plan, and rank 0 answers
// it with one result. Each struct lists its fields for the wire (common/fields.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/block_size.h"
#include "common/fields.h"
#include "common/generation_params.h"
#include "common/strong_id.h"

namespace caudal {

// The kind of memory that a KV block lies in.
enum class Tier : std::uint8_t { kDevice, kHost };

// Index into the KV pool of a tier of a replica; the same on all ranks. A model's layers form KV groups with equal
// windows, which take their blocks from the one pool. Block tables have the same number of blocks for each group: with
// G groups, blocks[i * G + g] holds tokens [16 i, 16 i + 16) in the layers of group g.
template <Tier tier>
struct BlockTag {};
template <Tier tier>
using BlockIdOf = StrongId<BlockTag<tier>>;
using BlockId = BlockIdOf<Tier::kDevice>;
using HostBlockId = BlockIdOf<Tier::kHost>;
inline constexpr BlockId kNoBlock = -1;                          // in a block table: no later query reads it
using TransferId = StrongId<struct TransferTag, std::uint64_t>;  // rises by one per transfer of a replica epoch, from 1
using SlotId = StrongId<struct SlotTag>;  // index into a worker's sequence table, 0 .. max_num_sequences - 1
inline constexpr SlotId kNoSlot = -1;
using RequestId = std::uint64_t;  // unique within one start of a coordinator
using SequenceId = std::uint64_t;
using ReplicaId = std::uint32_t;
using ModelId = std::uint32_t;  // index into the coordinator's ModelRegistry
using StepId = std::uint64_t;   // rises by one per plan of a replica epoch, from 1
using Epoch = std::uint64_t;    // issued by the coordinator when a replica joins; never reused

inline constexpr int kMaxDraftTokens = 8;  // of one sequence in one step
inline constexpr int kMaxKvGroups = 256;   // of a model
inline constexpr int kMaxCandidates = 64;  // next tokens of a beam that a worker sends

enum class FinishReason : std::uint8_t {
  kNone,    // still running
  kStop,    // a stop token (or, set by the gateway, a stop string)
  kLength,  // max_tokens or the context length
  kAbort,   // cancelled
  kError,   // NaN logits and the like
};
constexpr FinishReason last_of(FinishReason) { return FinishReason::kError; }

// --- StepPlan ---

// A sequence that enters a worker's table, in full. A sequence that resumes after a preemption, or on another replica,
// enters in the same way.
struct NewSequence {
  SlotId slot = 0;
  SequenceId sequence_id = 0;
  std::vector<TokenId> tokens{};       // prompt, then what was generated before
  std::int32_t num_prompt_tokens = 0;  // tokens[0, num_prompt_tokens) is the prompt
  std::int32_t num_computed = 0;       // tokens whose KV is already in `blocks` (cached prefix)
  std::vector<BlockId> blocks{};       // the block table so far, perhaps with kNoBlock: see BlockId
  GenerationParams params{};
  // The worker neither samples nor ends a beam. Once all its tokens are computed, the result carries the
  // params.sampling.num_logprobs most likely next ones as candidates; the chosen token comes with the next work.
  bool is_beam = false;
};

void visit_fields(Is<NewSequence> auto& sequence, auto&& visit) {
  visit("slot", sequence.slot);
  visit("sequence_id", sequence.sequence_id);
  visit("tokens", sequence.tokens);
  visit("num_prompt_tokens", sequence.num_prompt_tokens);
  visit("num_computed", sequence.num_computed);
  visit("blocks", sequence.blocks);
  visit("params", sequence.params);
  visit("is_beam", sequence.is_beam);
}

// Work for one sequence in this step, in batch order. The worker computes
// min(num_tokens, its num_tokens - its num_computed) tokens from its own num_computed on; when that catches
// up with the last known token, it samples the next one. A slot that already finished is skipped.
// With num_draft_tokens > 0 the worker may add up to that many draft tokens, computes them too, and keeps the right
// ones: 1 .. num_draft_tokens + 1 tokens come out, the same as from as many plain steps. Blocks and the step's budget
// are there for num_tokens + num_draft_tokens.
struct ScheduledSequence {
  SlotId slot = 0;
  std::int32_t num_tokens = 0;
  std::vector<BlockId> new_blocks{};  // appended to the block table before computing
  std::int32_t num_draft_tokens = 0;
  std::optional<TokenId> next_token{};  // of a beam: appended before computing
};

void visit_fields(Is<ScheduledSequence> auto& scheduled, auto&& visit) {
  visit("slot", scheduled.slot);
  visit("num_tokens", scheduled.num_tokens);
  visit("new_blocks", scheduled.new_blocks);
  visit("num_draft_tokens", scheduled.num_draft_tokens);
  visit("next_token", scheduled.next_token);
}

// Of a whole block, in all layers of its group.
template <Tier from, Tier to>
struct BlockCopyBetween {
  BlockIdOf<from> source = 0;
  BlockIdOf<to> destination = 0;
};
using BlockCopy = BlockCopyBetween<Tier::kDevice, Tier::kDevice>;
using CopyToHost = BlockCopyBetween<Tier::kDevice, Tier::kHost>;
using CopyFromHost = BlockCopyBetween<Tier::kHost, Tier::kDevice>;

template <typename T>
concept IsBlockCopy = Is<T, BlockCopy> || Is<T, CopyToHost> || Is<T, CopyFromHost>;

void visit_fields(IsBlockCopy auto& copy, auto&& visit) {
  visit("source", copy.source);
  visit("destination", copy.destination);
}

// Blocks on their way from one tier to another. They are copied beside the steps and may take any number of them. From
// the plan that starts it to the one that confirms its end nobody writes the sources, and nobody else uses the
// destinations.
template <Tier from, Tier to>
struct Transfer {
  TransferId id = 0;
  std::vector<BlockCopyBetween<from, to>> copies{};
};
using TransferToHost = Transfer<Tier::kDevice, Tier::kHost>;
using TransferFromHost = Transfer<Tier::kHost, Tier::kDevice>;

template <typename T>
concept IsTransfer = Is<T, TransferToHost> || Is<T, TransferFromHost>;

void visit_fields(IsTransfer auto& transfer, auto&& visit) {
  visit("id", transfer.id);
  visit("copies", transfer.copies);
}

// Applied in this order: confirmed_transfers, released, new_sequences, transfers, block_copies, scheduled. A plan in
// which nothing is scheduled is answered as soon as a transfer has ended or the next plan is there.
struct StepPlan {
  Epoch epoch = 0;
  StepId step_id = 0;
  std::vector<SlotId> released;
  std::vector<NewSequence> new_sequences;
  std::vector<TransferToHost> transfers_to_host;      // that start
  std::vector<TransferFromHost> transfers_from_host;  // that start
  std::vector<TransferId> confirmed_transfers;  // rank 0 has told their end; every rank waits for its own part of them
  std::vector<BlockCopy> block_copies;
  std::vector<ScheduledSequence> scheduled;
};

void visit_fields(Is<StepPlan> auto& plan, auto&& visit) {
  visit("epoch", plan.epoch);
  visit("step_id", plan.step_id);
  visit("released", plan.released);
  visit("new_sequences", plan.new_sequences);
  visit("transfers_to_host", plan.transfers_to_host);
  visit("transfers_from_host", plan.transfers_from_host);
  visit("confirmed_transfers", plan.confirmed_transfers);
  visit("block_copies", plan.block_copies);
  visit("scheduled", plan.scheduled);
}

// --- StepResult ---

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0F;
};

void visit_fields(Is<TokenLogprob> auto& entry, auto&& visit) {
  visit("token", entry.token);
  visit("logprob", entry.logprob);
}

// What one scheduled sequence produced. Slots that were skipped as finished have no entry.
struct SequenceResult {
  SlotId slot = 0;
  SequenceId sequence_id = 0;
  std::int32_t num_computed = 0;  // the worker's counter after the step
  std::vector<TokenId> tokens;    // 0 in the middle of a prefill, else 1 (more with speculation)
  FinishReason finish_reason = FinishReason::kNone;
  std::vector<std::vector<TokenLogprob>> logprobs;  // per token: the sampled one, then the most likely; or empty
  std::int32_t num_drafted = 0;                     // draft tokens
  std::int32_t num_accepted = 0;                    // of these, among `tokens`
  std::vector<TokenLogprob> candidates{};  // of a beam: what may come next, the most likely first; none of it banned
  // Where the prompt's are asked for: of its tokens that follow those that this step computed, in order; of the last of
  // them alone where others cannot be told. Each as in `logprobs`, with the prompt's own token in front.
  std::vector<std::vector<TokenLogprob>> prompt_logprobs{};
};

void visit_fields(Is<SequenceResult> auto& result, auto&& visit) {
  visit("slot", result.slot);
  visit("sequence_id", result.sequence_id);
  visit("num_computed", result.num_computed);
  visit("tokens", result.tokens);
  visit("finish_reason", result.finish_reason);
  visit("logprobs", result.logprobs);
  visit("num_drafted", result.num_drafted);
  visit("num_accepted", result.num_accepted);
  visit("candidates", result.candidates);
  visit("prompt_logprobs", result.prompt_logprobs);
}

struct StepResult {
  Epoch epoch = 0;
  StepId step_id = 0;
  std::vector<SequenceResult> sequences;
  // On rank 0, from taking the plan, or from having the last step's tokens, to having this step's tokens.
  std::int64_t compute_us = 0;
  std::int64_t draft_us = 0;                  // of these, the draft model's
  std::int64_t draft_pass_us = 0;             // of those, one pass for one draft token; 0 = there was none
  std::vector<TransferId> ended_transfers{};  // on rank 0, and not told before
};

void visit_fields(Is<StepResult> auto& result, auto&& visit) {
  visit("epoch", result.epoch);
  visit("step_id", result.step_id);
  visit("sequences", result.sequences);
  visit("compute_us", result.compute_us);
  visit("draft_us", result.draft_us);
  visit("draft_pass_us", result.draft_pass_us);
  visit("ended_transfers", result.ended_transfers);
}

// How the ranks of one replica share its model.
struct Topology {
  std::int32_t tensor = 1;    // every layer is cut into so many parts
  std::int32_t pipeline = 1;  // the layers are dealt to so many stages; nothing but 1 is served yet

  std::int32_t num_ranks() const { return tensor * pipeline; }
  bool operator==(const Topology&) const = default;
};

void visit_fields(Is<Topology> auto& topology, auto&& visit) {
  visit("tensor", topology.tensor);
  visit("pipeline", topology.pipeline);
}

// What a replica says about itself when it joins; the coordinator's capacities come from here.
struct ReplicaInfo {
  std::int32_t num_blocks = 0;
  std::int32_t max_num_sequences = 0;    // slots
  std::int32_t max_tokens_per_step = 0;  // the largest batch its workspace was planned for
  std::int32_t max_context_tokens = 0;   // longest prompt + output
  std::int32_t vocab_size = 0;
  Topology topology{};
  // By KV group, at least one, the first sees the furthest: a query at p reads no key up to p - window in the group's
  // layers. 0: it reads all.
  std::vector<std::int32_t> kv_windows{0};
  std::string model_digest{};         // of the model's files: a replica of a model that is not served is refused
  std::int32_t max_draft_tokens = 0;  // per sequence and step; 0 = does not speculate
  bool has_draft_model = false;
  std::int32_t num_host_blocks = 0;  // in host memory, for the KV of preempted sequences
  std::int64_t swap_block_ns = 0;    // measured: one block to host memory and back; 0 = not
  ModelId model = 0;                 // found by the digest; the coordinator's alone, so it is not sent

  std::int32_t num_kv_groups() const { return static_cast<std::int32_t>(kv_windows.size()); }
};

void visit_fields(Is<ReplicaInfo> auto& info, auto&& visit) {
  visit("num_blocks", info.num_blocks);
  visit("max_num_sequences", info.max_num_sequences);
  visit("max_tokens_per_step", info.max_tokens_per_step);
  visit("max_context_tokens", info.max_context_tokens);
  visit("vocab_size", info.vocab_size);
  visit("topology", info.topology);
  visit("kv_windows", info.kv_windows);
  visit("model_digest", info.model_digest);
  visit("max_draft_tokens", info.max_draft_tokens);
  visit("has_draft_model", info.has_draft_model);
  visit("num_host_blocks", info.num_host_blocks);
  visit("swap_block_ns", info.swap_block_ns);
}

}  // namespace caudal
