// SimulatedWorker: the worker's side of the StepPlan contract (common/types.h) over ToyModel: sequence
// table, KV blocks, chunks, stop rules, skipping of slots that have finished. CHECKs that the plan keeps
// the coordinator's side of it. A step is one call; when plans run and answers travel is up to the caller.
#pragma once

#include <optional>
#include <vector>

#include "common/check.h"
#include "tests/sim/toy_model.h"

namespace caudal::sim {

class SimulatedWorker {
 public:
  explicit SimulatedWorker(const ReplicaInfo& info)
      : info_(info),
        table_(info.max_num_sequences),
        kv_(info.num_blocks * kBlockSize),
        num_tables_(info.num_blocks) {}

  StepResult run(const StepPlan& plan) {
    for (const SlotId slot : plan.released) {
      CHECK_MSG(table_.at(slot).has_value(), "an empty slot was released");
      for (const BlockId block : table_[slot]->sequence.blocks) --num_tables_.at(block);
      table_[slot].reset();
    }
    for (const NewSequence& sequence : plan.new_sequences) {
      CHECK_MSG(!table_.at(sequence.slot).has_value(), "a slot was given out twice");
      table_[sequence.slot] = Row{sequence, false};
      for (const BlockId block : sequence.blocks) ++num_tables_.at(block);
    }
    for (const BlockCopy& copy : plan.block_copies) {
      CHECK_MSG(num_tables_.at(copy.destination) == 1, "a copy overwrites somebody's block");
      std::copy_n(kv_.begin() + copy.source * kBlockSize, kBlockSize, kv_.begin() + copy.destination * kBlockSize);
    }
    for (const NewSequence& sequence : plan.new_sequences) check_cached(*table_[sequence.slot]);
    StepResult result{.epoch = plan.epoch, .step_id = plan.step_id, .sequences = {}};
    for (const ScheduledSequence& scheduled : plan.scheduled) {
      CHECK_MSG(table_.at(scheduled.slot).has_value(), "an empty slot was scheduled");
      Row& row = *table_[scheduled.slot];
      row.sequence.blocks.insert(row.sequence.blocks.end(), scheduled.new_blocks.begin(),
                                 scheduled.new_blocks.end());
      for (const BlockId block : scheduled.new_blocks) ++num_tables_.at(block);
      if (!row.has_finished) result.sequences.push_back(compute(row, scheduled));
    }
    return result;
  }

 private:
  struct Row {
    NewSequence sequence;  // its tokens, counters and blocks go on from here
    bool has_finished = false;
  };

  std::uint64_t& kv_at(const Row& row, std::int32_t position) {
    const std::size_t block = position / kBlockSize;
    CHECK_MSG(block < row.sequence.blocks.size(), "the block table is too short");
    return kv_.at(row.sequence.blocks[block] * kBlockSize + position % kBlockSize);
  }

  // What a sequence finds, cached or copied, is what it would have computed itself.
  void check_cached(const Row& row) {
    CHECK(row.sequence.num_computed < std::ssize(row.sequence.tokens));
    std::uint64_t kv = 0;
    for (std::int32_t position = 0; position < row.sequence.num_computed; ++position) {
      kv = ToyModel::kv(kv, row.sequence.tokens[position]);
      CHECK_MSG(kv_at(row, position) == kv, "a cached block holds something else");
    }
  }

  SequenceResult compute(Row& row, const ScheduledSequence& scheduled) {
    NewSequence& sequence = row.sequence;
    const auto num_tokens = static_cast<std::int32_t>(sequence.tokens.size());
    CHECK_MSG(scheduled.num_tokens > 0 && scheduled.num_tokens <= num_tokens - sequence.num_computed,
              "scheduled tokens that are not there");
    for (std::int32_t i = 0; i < scheduled.num_tokens; ++i, ++sequence.num_computed) {
      const std::int32_t position = sequence.num_computed;
      const std::uint64_t previous = position == 0 ? 0 : kv_at(row, position - 1);
      CHECK_MSG(num_tables_[row.sequence.blocks[position / kBlockSize]] == 1, "a shared block is written");
      kv_at(row, position) = ToyModel::kv(previous, sequence.tokens[position]);
    }
    SequenceResult result{.slot = scheduled.slot,
                          .sequence_id = sequence.sequence_id,
                          .num_computed = sequence.num_computed,
                          .tokens = {},
                          .logprobs = {}};
    if (sequence.num_computed < num_tokens) return result;
    std::uint64_t state = 0;
    for (std::int32_t i = 0; i < num_tokens; ++i) state = ToyModel::attend(state, kv_at(row, i));
    const auto sample = ToyModel::sample(state, sequence.sampling.seed, sequence.stop,
                                         sequence.num_prompt_tokens, num_tokens, info_.max_context_tokens);
    result.finish_reason = sample.finish_reason;
    row.has_finished = sample.finish_reason != FinishReason::kNone;
    if (sample.finish_reason == FinishReason::kError) return result;
    sequence.tokens.push_back(sample.token);
    result.tokens = {sample.token};
    return result;
  }

  ReplicaInfo info_;
  std::vector<std::optional<Row>> table_;  // by slot
  std::vector<std::uint64_t> kv_;          // [num_blocks, 16]
  std::vector<std::int32_t> num_tables_;   // that hold a block
};

}  // namespace caudal::sim
