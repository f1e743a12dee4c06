#include "worker/batch/sequence_table.h"

#include <fmt/core.h>

#include <algorithm>

namespace caudal {
namespace {

template <typename... Args>
Error broken(fmt::format_string<Args...> format, Args&&... args) {
  return Error{"the plan breaks its contract: " + fmt::format(format, std::forward<Args>(args)...), "plan"};
}

// Whether this many tokens are all that the sequence may have.
bool is_full(const SequenceRow& sequence, std::int32_t num_tokens, std::int32_t max_context_tokens) {
  return num_tokens - sequence.num_prompt_tokens >= sequence.params.stop.max_tokens || num_tokens >= max_context_tokens;
}

// `token` is the last of num_tokens.
FinishReason reason_to_end(const SequenceRow& sequence, std::int32_t num_tokens, TokenId token,
                           std::int32_t max_context_tokens) {
  const std::vector<TokenId>& stops = sequence.params.stop.stop_token_ids;
  // Before min_tokens none is sampled, but where its grammar lets the output go on with nothing else.
  const bool may_stop = num_tokens - sequence.num_prompt_tokens >= sequence.params.stop.min_tokens ||
                        sequence.params.sampling.grammar.kind != GrammarKind::kNone;
  if (may_stop && std::find(stops.begin(), stops.end(), token) != stops.end()) return FinishReason::kStop;
  return is_full(sequence, num_tokens, max_context_tokens) ? FinishReason::kLength : FinishReason::kNone;
}

}  // namespace

TokenCount& TokenCounts::at(TokenId token) {
  const auto [place, fresh] = index_.emplace(token, counts_.size());
  if (fresh) counts_.push_back({token, 0});
  return counts_[place->second];
}

SequenceTable::SequenceTable(const TableLimits& limits) : limits_(limits), slots_(limits.max_num_sequences) {}

Result<std::vector<ScheduledWork>> SequenceTable::apply(StepPlan& plan) {
  for (SlotId slot : plan.released)
    if (Result<void> released = release(slot); !released) return released.error();
  for (NewSequence& entering : plan.new_sequences)
    if (Result<void> entered = enter(entering); !entered) return entered.error();
  if (Result<void> checked = check_copies(plan); !checked) return checked.error();
  std::vector<ScheduledWork> work;
  std::int64_t num_tokens = 0;
  for (const ScheduledSequence& scheduled : plan.scheduled) {
    Result<std::optional<ScheduledWork>> item = schedule(scheduled, plan.step_id);
    if (!item) return item.error();
    if (!item.value()) continue;
    num_tokens += item.value()->num_tokens + item.value()->max_drafts;
    work.push_back(std::move(*item.value()));
  }
  if (num_tokens > limits_.max_tokens_per_step)
    return broken("{} tokens in a step planned for {}", num_tokens, limits_.max_tokens_per_step);
  return work;
}

const SequenceRow& SequenceTable::at(SlotId slot) const {
  const std::optional<SequenceRow>& sequence = slots_.at(slot);
  CHECK(sequence.has_value());
  return *sequence;
}

const SequenceRow* SequenceTable::find(SlotId slot) const {
  if (!slots_.contains(slot)) return nullptr;
  const std::optional<SequenceRow>& sequence = slots_[slot];
  return sequence ? &*sequence : nullptr;
}

void SequenceTable::advance(SlotId slot, std::int32_t num_tokens) {
  SequenceRow& sequence = *slots_[slot];
  sequence.num_computed += num_tokens;
  CHECK(sequence.num_computed <= sequence.num_tokens());
}

void SequenceTable::promise(SlotId slot, TokenInFlight token) { slots_[slot]->in_flight.push_back(token); }

void SequenceTable::fulfil(SlotId slot, std::optional<TokenId> token) {
  SequenceRow& sequence = *slots_[slot];
  CHECK(!sequence.in_flight.empty());
  sequence.in_flight.erase(sequence.in_flight.begin());
  take(sequence, token);
}

void SequenceTable::append(SlotId slot, std::optional<TokenId> token) {
  SequenceRow& sequence = *slots_[slot];
  CHECK(sequence.in_flight.empty());
  take(sequence, token);
}

// The next token behind the known ones.
void SequenceTable::take(SequenceRow& sequence, std::optional<TokenId> token) {
  sequence.finish_reason = FinishReason::kError;
  if (token) {
    sequence.tokens.push_back(*token);
    if (sequence.params.sampling.has_penalties()) sequence.counts.add_output(*token);
    const auto num_known = static_cast<std::int32_t>(sequence.tokens.size());
    sequence.finish_reason = reason_to_end(sequence, num_known, *token, limits_.max_context_tokens);
  }
  if (!sequence.finished()) return;
  sequence.in_flight.clear();
  const std::int32_t end = sequence.num_tokens() - (token ? 1 : 0);  // of what was computed for it
  sequence.num_computed = std::min(sequence.num_computed, end);
}

void SequenceTable::clear() {
  for (std::optional<SequenceRow>& slot : slots_) slot.reset();
}

Result<void> SequenceTable::release(SlotId slot) {
  if (!slots_.contains(slot) || !slots_[slot]) return broken("slot {} is released but holds nothing", slot.value());
  slots_[slot].reset();
  return {};
}

Result<void> SequenceTable::enter(NewSequence& entering) {
  const SlotId slot = entering.slot;
  if (!slots_.contains(slot)) return broken("slot {} does not exist", slot.value());
  if (slots_[slot]) return broken("slot {} is taken", slot.value());
  const auto num_tokens = static_cast<std::int64_t>(entering.tokens.size());
  if (num_tokens < 1 || num_tokens >= limits_.max_context_tokens)
    return broken("slot {} enters with {} tokens; the context holds {}", slot.value(), num_tokens,
                  limits_.max_context_tokens);
  if (entering.num_prompt_tokens < 1 || entering.num_prompt_tokens > num_tokens || entering.num_computed < 0 ||
      entering.num_computed >= num_tokens)
    return broken("slot {} enters with wrong counters", slot.value());
  for (TokenId token : entering.tokens)
    if (token < 0 || token >= limits_.vocab_size) return broken("slot {} enters with token {}", slot.value(), token);
  for (TokenId token : entering.params.sampling.logprob_token_ids)
    if (token < 0 || token >= limits_.vocab_size) return broken("slot {} is to tell of token {}", slot.value(), token);
  std::ranges::replace(entering.blocks, kNoBlock, BlockId(0));  // never read, and always there
  if (!blocks_exist(entering.blocks)) return broken("slot {} enters with an unknown block", slot.value());
  if (!are_of_all_groups(entering.blocks))
    return broken("slot {} enters with more blocks of some KV groups", slot.value());

  SequenceRow& sequence = slots_[slot].emplace();
  sequence.id = entering.sequence_id;
  sequence.tokens = std::move(entering.tokens);
  sequence.num_prompt_tokens = entering.num_prompt_tokens;
  sequence.num_computed = entering.num_computed;
  sequence.blocks = std::move(entering.blocks);
  sequence.params = std::move(entering.params);
  sequence.is_beam = entering.is_beam;
  if (!sequence.params.sampling.has_penalties()) return {};
  const auto prompt_end = sequence.tokens.begin() + sequence.num_prompt_tokens;
  std::for_each(sequence.tokens.begin(), prompt_end, [&](TokenId token) { sequence.counts.add_prompt(token); });
  std::for_each(prompt_end, sequence.tokens.end(), [&](TokenId token) { sequence.counts.add_output(token); });
  return {};
}

Result<void> SequenceTable::check_copies(const StepPlan& plan) const {
  for (const BlockCopy& copy : plan.block_copies)
    if (!blocks_exist({copy.source, copy.destination})) return broken("an unknown block is copied");
  const auto on_host = [&](HostBlockId block) { return block >= 0 && block.value() < limits_.num_host_blocks; };
  for (const TransferToHost& transfer : plan.transfers_to_host)
    for (const CopyToHost& copy : transfer.copies)
      if (!blocks_exist({copy.source}) || !on_host(copy.destination))
        return broken("an unknown block goes to the host");
  for (const TransferFromHost& transfer : plan.transfers_from_host)
    for (const CopyFromHost& copy : transfer.copies)
      if (!on_host(copy.source) || !blocks_exist({copy.destination}))
        return broken("an unknown block comes from the host");
  return {};
}

Result<std::optional<ScheduledWork>> SequenceTable::schedule(const ScheduledSequence& scheduled, StepId step) {
  const SlotId slot = scheduled.slot;
  if (!slots_.contains(slot) || !slots_[slot]) return broken("slot {} is scheduled but holds nothing", slot.value());
  SequenceRow& sequence = *slots_[slot];
  if (sequence.last_scheduled == step) return broken("slot {} is scheduled twice", slot.value());
  sequence.last_scheduled = step;
  if (scheduled.num_tokens < 1) return broken("slot {} is scheduled for {} tokens", slot.value(), scheduled.num_tokens);
  if (scheduled.num_draft_tokens < 0 || scheduled.num_draft_tokens > limits_.max_draft_tokens)
    return broken("slot {} is to have {} draft tokens", slot.value(), scheduled.num_draft_tokens);
  if (!blocks_exist(scheduled.new_blocks)) return broken("slot {} gets an unknown block", slot.value());
  if (!are_of_all_groups(scheduled.new_blocks))
    return broken("slot {} gets more blocks of some KV groups", slot.value());
  sequence.blocks.insert(sequence.blocks.end(), scheduled.new_blocks.begin(), scheduled.new_blocks.end());
  const bool ends = !sequence.in_flight.empty() && is_full(sequence, sequence.num_tokens(), limits_.max_context_tokens);
  if (sequence.finished() || ends) return std::optional<ScheduledWork>();
  if (Result<void> taken = take_next_token(scheduled, sequence); !taken) return taken.error();

  ScheduledWork work{.slot = slot};
  work.num_tokens = std::min(scheduled.num_tokens, sequence.num_tokens() - sequence.num_computed);
  if (work.num_tokens < 1) return broken("slot {} is scheduled and has nothing to compute", slot.value());
  work.samples = sequence.num_computed + work.num_tokens == sequence.num_tokens();
  if (sequence.params.num_prompt_logprobs >= 0)
    work.num_scored = std::clamp(sequence.num_prompt_tokens - 1 - sequence.num_computed, 0, work.num_tokens);
  if (work.samples) work.max_drafts = std::min(scheduled.num_draft_tokens, most_drafts(sequence));
  const std::int64_t end = sequence.num_computed + work.num_tokens + work.max_drafts;
  if (std::ssize(sequence.blocks) / limits_.num_kv_groups * kBlockSize < end)
    return broken("slot {} has {} blocks for {} tokens", slot.value(), sequence.blocks.size(), end);
  return std::optional(work);
}

// Only a beam that has computed all its tokens gets one.
Result<void> SequenceTable::take_next_token(const ScheduledSequence& scheduled, SequenceRow& sequence) const {
  if (!scheduled.next_token) return {};
  const TokenId token = *scheduled.next_token;
  if (!sequence.is_beam || sequence.num_computed != sequence.num_tokens() || token < 0 || token >= limits_.vocab_size ||
      sequence.num_tokens() + 1 >= limits_.max_context_tokens)
    return broken("slot {} gets token {}", scheduled.slot.value(), token);
  sequence.tokens.push_back(token);
  return {};
}

// The last token of a sequence is never computed, so a draft is of no use beyond the one before.
std::int32_t SequenceTable::most_drafts(const SequenceRow& sequence) const {
  const std::int32_t left = std::min(sequence.params.stop.max_tokens - sequence.num_output_tokens(),
                                     limits_.max_context_tokens - sequence.num_tokens());
  return std::max(left - 1, 0);
}

bool SequenceTable::are_of_all_groups(const std::vector<BlockId>& blocks) const {
  return std::ssize(blocks) % limits_.num_kv_groups == 0;
}

bool SequenceTable::blocks_exist(const std::vector<BlockId>& blocks) const {
  return std::all_of(blocks.begin(), blocks.end(), [&](BlockId b) { return b >= 0 && b.value() < limits_.num_blocks; });
}

}  // namespace caudal
