// SimulatedWorker: the worker's side of the StepPlan contract (common/types.h) over ToyModel: sequence
// table, KV blocks, host blocks, chunks, stop rules, drafts, skipping of slots that have finished. CHECKs that the plan
// keeps the coordinator's side of it. A step is one call; when plans run and answers travel is up to the caller.
//
// Its KV is that of the slowest rank: there a transfer makes its destinations worthless at once, and reads its sources
// only when a plan confirms the end, which rank 0 has told of long before.
#pragma once

#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <vector>

#include "common/check.h"
#include "coordinator/kv/kv_manager.h"
#include "tests/sim/toy_model.h"

namespace caudal::sim {

class SimulatedWorker {
 public:
  explicit SimulatedWorker(const ReplicaInfo& info)
      : info_(info),
        table_(info.max_num_sequences),
        kv_(info.num_blocks),
        host_kv_(info.num_host_blocks),
        num_tables_(info.num_blocks) {}

  // What a plan that schedules nothing has waited for: the end of a transfer, or the next plan.
  enum class WaitedFor { kTransfer, kNextPlan };

  StepResult run(const StepPlan& plan, WaitedFor waited_for = WaitedFor::kTransfer) {
    for (const TransferId id : plan.confirmed_transfers) confirm(id);
    for (const SlotId slot : plan.released) {
      CHECK_MSG(table_.at(slot).has_value(), "an empty slot was released");
      for (std::size_t group = 0; group < num_groups(); ++group) {
        hide(*table_[slot], group, table_[slot]->sequence.blocks.size() / num_groups());
      }
      table_[slot].reset();
    }
    for (const NewSequence& sequence : plan.new_sequences) {
      CHECK_MSG(!table_.at(sequence.slot).has_value(), "a slot was given out twice");
      table_[sequence.slot] = Row{.sequence = sequence, .num_hidden = std::vector<std::size_t>(num_groups())};
      CHECK_MSG(sequence.blocks.size() % num_groups() == 0, "groups have different numbers of blocks");
      for (const BlockId block : sequence.blocks) {
        if (block != kNoBlock) ++num_tables_.at(block);
      }
      hide(*table_[sequence.slot]);
    }
    for (const TransferToHost& transfer : plan.transfers_to_host) start(transfer, to_host_, host_kv_);
    for (const TransferFromHost& transfer : plan.transfers_from_host) start(transfer, from_host_, kv_);
    for (const BlockCopy& copy : plan.block_copies) {
      CHECK_MSG(num_tables_.at(copy.destination) == 1, "a copy overwrites somebody's block");
      copy_block(kv_, copy, kv_);
    }
    StepResult result{.epoch = plan.epoch, .step_id = plan.step_id, .sequences = {}};
    for (const ScheduledSequence& scheduled : plan.scheduled) {
      CHECK_MSG(table_.at(scheduled.slot).has_value(), "an empty slot was scheduled");
      Row& row = *table_[scheduled.slot];
      CHECK_MSG(scheduled.new_blocks.size() % num_groups() == 0, "groups have different numbers of blocks");
      row.sequence.blocks.insert(row.sequence.blocks.end(), scheduled.new_blocks.begin(), scheduled.new_blocks.end());
      for (const BlockId block : scheduled.new_blocks) ++num_tables_.at(block);
      if (!row.has_finished) result.sequences.push_back(compute(row, scheduled));
      hide(row);
    }
    // Rows are nearly free up to a number of them, as on a device that waits for memory.
    result.compute_us = 1000 + 5 * num_rows_ + 100 * std::max(num_rows_ - 12, 0);
    num_rows_ = 0;
    if (plan.scheduled.empty() && waited_for == WaitedFor::kTransfer) {
      CHECK_MSG(!untold_.empty(), "a plan waits for nothing");
      untold_.front().num_steps_left = 0;
    }
    std::erase_if(untold_, [&](Untold& transfer) {
      if (transfer.num_steps_left-- > 0) return false;
      result.ended_transfers.push_back(transfer.id);
      return true;
    });
    return result;
  }

 private:
  struct Untold {
    TransferId id = 0;
    std::uint64_t num_steps_left = 0;
  };

  template <Tier from, Tier to, typename Blocks>
  void start(const Transfer<from, to>& transfer, std::vector<Transfer<from, to>>& running, Blocks& destinations) {
    for (const auto& copy : transfer.copies) destinations.at(copy.destination).fill(kGarbage);
    running.push_back(transfer);
    untold_.push_back({transfer.id, mix(transfer.id.value(), transfer.copies.size()) % 5});
  }
  void confirm(TransferId id) {
    const bool is_known = make(id, to_host_, kv_, host_kv_) || make(id, from_host_, host_kv_, kv_);
    CHECK_MSG(is_known && std::ranges::count(untold_, id, &Untold::id) == 0, "the end of no transfer is confirmed");
  }
  template <Tier from, Tier to, typename Sources, typename Destinations>
  static bool make(TransferId id, std::vector<Transfer<from, to>>& running, const Sources& sources,
                   Destinations& destinations) {
    const auto transfer = std::ranges::find(running, id, &Transfer<from, to>::id);
    if (transfer == running.end()) return false;
    for (const auto& copy : transfer->copies) copy_block(sources, copy, destinations);
    running.erase(transfer);
    return true;
  }

  static constexpr std::uint64_t kGarbage = 0xdeadbeef;

  struct Row {
    NewSequence sequence;     // its tokens, counters and blocks go on from here
    bool is_checked = false;  // what it has found
    bool has_finished = false;
    std::vector<std::size_t> num_hidden;  // by group: leading blocks that it never reads again
  };

  using Block = std::array<std::uint64_t, kBlockSize>;

  template <Tier from, Tier to>
  static void copy_block(const IndexedVector<BlockIdOf<from>, Block>& sources, BlockCopyBetween<from, to> copy,
                         IndexedVector<BlockIdOf<to>, Block>& destinations) {
    destinations.at(copy.destination) = sources.at(copy.source);
  }

  std::size_t num_groups() const { return info_.kv_windows.size(); }
  BlockId block_of(const Row& row, std::size_t group, std::size_t position) const {
    const std::size_t i = position / kBlockSize * num_groups() + group;
    CHECK_MSG(i < row.sequence.blocks.size(), "the block table is too short");
    return row.sequence.blocks[i];
  }

  void hide(Row& row, std::size_t group, std::size_t num_blocks) {
    for (std::size_t& i = row.num_hidden[group]; i < num_blocks; ++i) {
      const BlockId block = block_of(row, group, i * kBlockSize);
      if (block != kNoBlock) --num_tables_.at(block);
    }
  }
  void hide(Row& row) {
    for (std::size_t group = 0; group < num_groups(); ++group) {
      hide(row, group, hidden_blocks(info_.kv_windows[group], row.sequence.num_computed));
    }
  }

  std::uint64_t& kv_at(const Row& row, std::size_t group, std::int32_t position) {
    return kv_.at(block_of(row, group, position))[position % kBlockSize];
  }

  // What a sequence finds, cached or copied, is what it would have computed itself, as far as it sees. Looked at when
  // it computes for the first time: blocks may have to arrive before.
  void check_cached(Row& row) {
    if (std::exchange(row.is_checked, true)) return;
    CHECK(row.sequence.num_computed < std::ssize(row.sequence.tokens));
    for (std::size_t group = 0; group < num_groups(); ++group) {
      const std::size_t first = first_visible(info_.kv_windows[group], row.sequence.num_computed);
      std::uint64_t kv = group;
      for (std::int32_t position = 0; position < row.sequence.num_computed; ++position) {
        kv = ToyModel::kv(kv, row.sequence.tokens[position]);
        if (static_cast<std::size_t>(position) < first) continue;
        CHECK_MSG(kv_at(row, group, position) == kv, "a cached block holds something else");
      }
    }
  }

  SequenceResult compute(Row& row, const ScheduledSequence& scheduled) {
    NewSequence& sequence = row.sequence;
    check_cached(row);
    if (scheduled.next_token) {
      CHECK_MSG(sequence.is_beam && sequence.num_computed == std::ssize(sequence.tokens),
                "a token that the worker samples itself");
      sequence.tokens.push_back(*scheduled.next_token);
    }
    const auto num_tokens = static_cast<std::int32_t>(sequence.tokens.size());
    CHECK_MSG(scheduled.num_tokens > 0 && scheduled.num_tokens <= num_tokens - sequence.num_computed,
              "scheduled tokens that are not there");
    const std::int32_t begin = sequence.num_computed;
    for (std::int32_t i = 0; i < scheduled.num_tokens; ++i) compute_next(row);
    SequenceResult result{.slot = scheduled.slot,
                          .sequence_id = sequence.sequence_id,
                          .num_computed = sequence.num_computed,
                          .tokens = {},
                          .logprobs = {}};
    tell_scores(row, begin, result);
    if (sequence.num_computed < num_tokens) {
      CHECK_MSG(scheduled.num_draft_tokens == 0, "draft tokens beyond tokens that are known");
      return result;
    }
    if (sequence.is_beam) {
      CHECK(scheduled.num_draft_tokens == 0);
      tell_candidates(row, result);
      return result;
    }
    append_sample(row, result);
    if (scheduled.num_draft_tokens > 0) speculate(row, scheduled.num_draft_tokens, result);
    return result;
  }

  // Of the prompt's tokens behind those that this step computed.
  void tell_scores(Row& row, std::int32_t begin, SequenceResult& result) {
    const NewSequence& sequence = row.sequence;
    const std::int32_t count = sequence.params.num_prompt_logprobs;
    for (std::int32_t i = begin; count >= 0 && i < sequence.num_computed && i + 1 < sequence.num_prompt_tokens; ++i)
      result.prompt_logprobs.push_back(toy_scores(kv_at(row, 0, i), sequence.tokens[i + 1], count));
  }

  void compute_next(Row& row) {
    NewSequence& sequence = row.sequence;
    const std::int32_t position = sequence.num_computed++;
    for (std::size_t group = 0; group < num_groups(); ++group) {
      const std::uint64_t previous = position == 0 ? group : kv_at(row, group, position - 1);
      CHECK_MSG(num_tables_[block_of(row, group, position)] == 1, "a shared block is written");
      kv_at(row, group, position) = ToyModel::kv(previous, sequence.tokens[position]);
    }
    ++num_rows_;
  }

  std::uint64_t attend(const Row& row) {
    const auto num_tokens = static_cast<std::int32_t>(row.sequence.tokens.size());
    std::uint64_t state = 0;
    for (std::size_t group = 0; group < num_groups(); ++group) {
      auto i = static_cast<std::int32_t>(first_visible(info_.kv_windows[group], row.sequence.tokens.size() - 1));
      for (; i < num_tokens; ++i) state = ToyModel::attend(state, kv_at(row, group, i));
    }
    return state;
  }

  void tell_candidates(Row& row, SequenceResult& result) {
    const NewSequence& sequence = row.sequence;
    const std::vector<float> logprobs =
        ToyModel::logprobs(attend(row), sequence.params.stop, sequence.num_prompt_tokens,
                           static_cast<std::int32_t>(sequence.tokens.size()));
    row.has_finished = logprobs.empty();
    if (row.has_finished) result.finish_reason = FinishReason::kError;
    std::vector<TokenLogprob>& told = result.candidates;
    for (std::size_t token = 0; token < logprobs.size(); ++token) {
      if (!std::isinf(logprobs[token])) told.push_back({static_cast<TokenId>(token), logprobs[token]});
    }
    std::ranges::stable_sort(told, std::greater(), &TokenLogprob::logprob);
    const auto num_asked = static_cast<std::size_t>(sequence.params.sampling.num_logprobs);
    if (told.size() > num_asked) told.resize(num_asked);
  }

  void append_sample(Row& row, SequenceResult& result) {
    NewSequence& sequence = row.sequence;
    const auto num_tokens = static_cast<std::int32_t>(sequence.tokens.size());
    const auto sample = ToyModel::sample(attend(row), sequence.params.sampling.seed, sequence.params.stop,
                                         sequence.num_prompt_tokens, num_tokens, info_.max_context_tokens);
    result.finish_reason = sample.finish_reason;
    row.has_finished = sample.finish_reason != FinishReason::kNone;
    if (sample.finish_reason == FinishReason::kError) return;
    sequence.tokens.push_back(sample.token);
    result.tokens.push_back(sample.token);
  }

  // How many draft tokens there are and how many of them are right is decided by hash; the wrong ones leave their KV
  // behind, as on a real worker.
  void speculate(Row& row, std::int32_t num_draft_tokens, SequenceResult& result) {
    NewSequence& sequence = row.sequence;
    const std::uint64_t luck = mix(sequence.params.sampling.seed, sequence.tokens.size());
    result.num_drafted = static_cast<std::int32_t>(luck % (num_draft_tokens + 1));
    const std::int32_t end = sequence.num_computed + result.num_drafted;
    const auto num_right = static_cast<std::int32_t>((luck >> 20) % (result.num_drafted + 1));
    while (result.num_accepted < num_right && !row.has_finished) {
      compute_next(row);
      append_sample(row, result);
      ++result.num_accepted;
    }
    result.num_computed = sequence.num_computed;
    for (std::int32_t position = sequence.num_computed; position < end; ++position) {
      for (std::size_t group = 0; group < num_groups(); ++group) kv_at(row, group, position) = luck;
    }
  }

  ReplicaInfo info_;
  std::int32_t num_rows_ = 0;  // of the step
  IndexedVector<SlotId, std::optional<Row>> table_;
  IndexedVector<BlockId, Block> kv_;
  IndexedVector<HostBlockId, Block> host_kv_;
  IndexedVector<BlockId, std::int32_t> num_tables_;  // that hold a block
  std::vector<TransferToHost> to_host_;              // not confirmed
  std::vector<TransferFromHost> from_host_;
  std::vector<Untold> untold_;  // of these, those that rank 0 has not told of
};

}  // namespace caudal::sim
