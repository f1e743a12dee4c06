// SequenceTable: what a worker remembers between steps, so that plans can be diffs. Every rank holds the same
// table. It is the authority on positions and decides when a sequence ends. Owned by the
// runner, used by the step thread.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "common/result.h"
#include "kernels/backend.h"

namespace caudal {

// How often each distinct token stands in a sequence; kept up only for sequences with penalties.
class TokenCounts {
 public:
  void add_prompt(TokenId token) { at(token); }
  void add_output(TokenId token) { ++at(token).output_count; }
  const std::vector<TokenCount>& all() const { return counts_; }

 private:
  TokenCount& at(TokenId token);

  std::vector<TokenCount> counts_;
  std::unordered_map<TokenId, std::size_t> index_;  // token -> place in counts_
};

// A token that a step in flight samples, in this row of its samples. The device has it before the host.
struct TokenInFlight {
  StepId step = 0;
  std::int32_t row = 0;
};

struct SequenceRow {
  SequenceId id = 0;
  std::vector<TokenId> tokens;           // known: prompt, then output
  std::vector<TokenInFlight> in_flight;  // the tokens behind those, one per step in flight
  std::int32_t num_prompt_tokens = 0;
  std::int32_t num_computed = 0;  // tokens whose KV is in the cache; < tokens.size() while running, but of a beam
  std::vector<BlockId> blocks;    // of all KV groups: see BlockId
  GenerationParams params;
  bool is_beam = false;  // the coordinator chooses its tokens
  FinishReason finish_reason = FinishReason::kNone;
  StepId last_scheduled = 0;  // to notice a slot that one plan names twice
  TokenCounts counts;

  std::int32_t num_tokens() const { return static_cast<std::int32_t>(tokens.size() + in_flight.size()); }
  std::int32_t num_output_tokens() const { return num_tokens() - num_prompt_tokens; }
  bool finished() const { return finish_reason != FinishReason::kNone; }
  // Whether the next sample depends on what the last token is, beyond the logits.
  bool looks_at_tokens() const {
    const SamplingParams& sampling = params.sampling;
    return sampling.has_penalties() || !sampling.bad_words.empty() || sampling.grammar.kind != GrammarKind::kNone ||
           sampling.thinking.budget >= 0;
  }
};

// Bounds that a plan must keep; a replica told them to the coordinator when it joined.
struct TableLimits {
  std::int32_t max_num_sequences = 0;
  std::int32_t max_tokens_per_step = 0;
  std::int32_t max_context_tokens = 0;
  std::int32_t num_blocks = 0;
  std::int32_t vocab_size = 0;
  std::int32_t max_draft_tokens = 0;
  std::int32_t num_host_blocks = 0;
  std::int32_t num_kv_groups = 1;
};

// One scheduled sequence after the plan was applied: compute `num_tokens` from its num_computed on.
struct ScheduledWork {
  SlotId slot = 0;
  std::int32_t num_tokens = 0;
  bool samples = false;              // the last known token is among them, so the next one is sampled
  std::int32_t num_scored = 0;       // of their first ones: behind each the prompt goes on, and it is told how likely
  std::int32_t max_drafts = 0;       // draft tokens that may follow; 0 unless it samples
  std::vector<TokenId> drafts = {};  // computed as well: filled in by the drafter
  std::int32_t end = 0;              // num_computed after it, accepted drafts apart; the first sampled token's place
  bool dropped = false;              // an earlier step turned out to have ended the sequence
};

class SequenceTable {
 public:
  explicit SequenceTable(const TableLimits& limits);

  // Releases, enters and grows; returns what to compute, in plan order, without slots that already finished.
  // An Error for a plan that breaks the contract of common/types.h; the table is then of no more use. The tokens,
  // blocks and parameters of new sequences are moved out of the plan; all else in it stays.
  Result<std::vector<ScheduledWork>> apply(StepPlan& plan);

  const SequenceRow& at(SlotId slot) const;
  const SequenceRow* find(SlotId slot) const;  // null when it holds nothing or does not exist

  // After the step: `num_tokens` more have their KV in the cache.
  void advance(SlotId slot, std::int32_t num_tokens);

  // From here on the sequence counts one token more, which is in flight. It is not scheduled any more when that token
  // will be its last by length alone.
  void promise(SlotId slot, TokenInFlight token);

  // The oldest token in flight is known now; nothing when the logits were unusable. Decides whether the sequence ends;
  // then it forgets the tokens that are still in flight.
  void fulfil(SlotId slot, std::optional<TokenId> token);

  // A token that was never in flight.
  void append(SlotId slot, std::optional<TokenId> token);

  void clear();

 private:
  void take(SequenceRow& sequence, std::optional<TokenId> token);
  Result<void> release(SlotId slot);
  Result<void> enter(NewSequence& entering);
  Result<void> check_copies(const StepPlan& plan) const;
  Result<std::optional<ScheduledWork>> schedule(const ScheduledSequence& scheduled, StepId step);
  Result<void> take_next_token(const ScheduledSequence& scheduled, SequenceRow& sequence) const;
  std::int32_t most_drafts(const SequenceRow& sequence) const;
  bool blocks_exist(const std::vector<BlockId>& blocks) const;
  bool are_of_all_groups(const std::vector<BlockId>& blocks) const;

  TableLimits limits_;
  IndexedVector<SlotId, std::optional<SequenceRow>> slots_;  // max_num_sequences of them
};

}  // namespace caudal
