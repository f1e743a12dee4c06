// PlanChecker: watches the plans and answers of one replica epoch from outside and CHECKs what has to hold
// for every pair of them: step ids rise by one, budgets hold, a block is in two tables only as part of a cached
// prefix, nobody writes to such a block or finds one that an unanswered plan still writes, and no block is
// handed out while an unanswered plan or an unconfirmed transfer names it. Keeps a digest of everything sent.
#pragma once

#include <bit>
#include <deque>
#include <map>
#include <set>

#include "common/check.h"
#include "coordinator/policy/scheduler_config.h"
#include "tests/sim/toy_model.h"

namespace caudal::sim {

template <typename T>
std::uint64_t digest(const std::vector<T>& values, std::uint64_t seed);
template <typename T>
std::uint64_t digest(const std::optional<T>& value, std::uint64_t seed);

// Of all fields, in their order.
template <typename T>
std::uint64_t digest(const T& value, std::uint64_t seed = 0) {
  if constexpr (HasFields<T>) {
    visit_fields(value, [&](std::string_view, const auto& field) { seed = digest(field, seed); });
    return seed;
  } else if constexpr (StrongIdType<T>) {
    return digest(value.value(), seed);
  } else if constexpr (std::same_as<T, float>) {
    return mix(seed, std::bit_cast<std::uint32_t>(value));
  } else if constexpr (std::same_as<T, std::string>) {
    return mix(seed, std::hash<std::string>()(value));
  } else {
    return mix(seed, static_cast<std::uint64_t>(value));
  }
}
template <typename T>
std::uint64_t digest(const std::vector<T>& values, std::uint64_t seed) {
  seed = mix(seed, values.size());
  for (const T& value : values) seed = digest(value, seed);
  return seed;
}
template <typename T>
std::uint64_t digest(const std::optional<T>& value, std::uint64_t seed) {
  return value ? digest(*value, mix(seed, 1)) : mix(seed, 0);
}

class PlanChecker {
 public:
  PlanChecker(const SchedulerConfig& config, const ReplicaInfo& info, Epoch epoch)
      : config_(config), info_(info), epoch_(epoch) {}

  void sent(const StepPlan& plan) {
    CHECK(plan.epoch == epoch_ && plan.step_id == ++last_step_id_);
    check_work(plan);
    for (const TransferId id : plan.confirmed_transfers) {
      CHECK_MSG(ended_.erase(id) == 1, "a transfer is confirmed that has not ended");
      to_host_.erase(id);
      from_host_.erase(id);
    }
    for (const SlotId slot : plan.released) CHECK(tables_.erase(slot) == 1);
    for (const TransferToHost& transfer : plan.transfers_to_host) start(transfer);
    for (const TransferFromHost& transfer : plan.transfers_from_host) start(transfer);
    Unanswered unanswered;
    for (const NewSequence& sequence : plan.new_sequences) enter(sequence, plan, unanswered);
    for (const BlockCopy& copy : plan.block_copies) unanswered.named.insert(copy.source);
    std::int64_t num_tokens = 0;
    std::set<SlotId> slots;
    for (const ScheduledSequence& scheduled : plan.scheduled) {
      CHECK_MSG(slots.insert(scheduled.slot).second, "a slot is twice in a plan");
      Table& table = tables_.at(scheduled.slot);
      for (const BlockId block : table.blocks) CHECK_MSG(!arrives(block), "computed with blocks that are on their way");
      hand_out(table, scheduled.new_blocks);
      write(table, scheduled, unanswered);
      CHECK(scheduled.num_draft_tokens >= 0 && scheduled.num_draft_tokens <= info_.max_draft_tokens);
      num_tokens += scheduled.num_tokens + scheduled.num_draft_tokens;
    }
    CHECK(num_tokens <= config_.step_tokens(info_));
    CHECK(std::ssize(tables_) <= config_.batch_sequences(info_));
    unanswered_.push_back(std::move(unanswered));
    digest_ = digest(plan, digest_);
  }

  // The result says how far drafts brought each sequence.
  void answered(const StepResult& result) {
    for (const auto& [slot, work] : unanswered_.front().work) {
      const auto table = tables_.find(slot);
      if (table == tables_.end() || table->second.sequence_id != work.sequence_id) continue;
      table->second.min_in_flight -= work.min_tokens;
      table->second.max_in_flight -= work.max_tokens;
      for (const SequenceResult& entry : result.sequences) {
        if (entry.slot == slot) table->second.num_computed = entry.num_computed;
      }
      forget(slot, work, hide(table->second));
    }
    unanswered_.pop_front();
    for (const TransferId id : result.ended_transfers) {
      ended_.insert(id);
      if (!to_host_.contains(id)) continue;
      for (const CopyToHost& copy : to_host_.at(id).copies) in_host_memory_.insert(copy.destination);
    }
  }

  std::int32_t num_unanswered() const { return static_cast<std::int32_t>(unanswered_.size()); }

  // Blocks that the worker was told about and that are not known to be free.
  std::int32_t num_named_blocks() const {
    std::set<BlockId> named;
    for (const auto& [slot, table] : tables_) named.insert(table.blocks.begin(), table.blocks.end());
    for (const Unanswered& plan : unanswered_) {
      named.insert(plan.named.begin(), plan.named.end());
      named.insert(plan.may_be_held.begin(), plan.may_be_held.end());
    }
    for (const auto& [id, transfer] : to_host_)
      for (const CopyToHost& copy : transfer.copies) named.insert(copy.source);
    for (const auto& [id, transfer] : from_host_)
      for (const CopyFromHost& copy : transfer.copies) named.insert(copy.destination);
    named.erase(kNoBlock);
    return static_cast<std::int32_t>(named.size());
  }

  // Who has work in plans that are not answered yet.
  std::set<SequenceId> sequences_in_flight() const {
    std::set<SequenceId> sequences;
    for (const Unanswered& plan : unanswered_)
      for (const auto& [slot, work] : plan.work) sequences.insert(work.sequence_id);
    return sequences;
  }

  std::uint64_t trace_digest() const { return digest_; }

 private:
  struct Table {
    SequenceId sequence_id;
    std::vector<BlockId> blocks;
    std::int32_t num_computed;       // as answered
    std::int32_t min_in_flight = 0;  // more, once all plans are answered
    std::int32_t max_in_flight = 0;  // if all drafts are right
  };
  struct Work {
    SequenceId sequence_id;
    std::int32_t min_tokens;
    std::int32_t max_tokens;
  };
  struct Unanswered {
    std::multiset<BlockId> named;  // once per table
    std::set<BlockId> written;
    std::set<BlockId> may_be_held;
    std::map<SlotId, Work> work;
  };

  // It computes or starts transfers, or it is the only one and waits for the end of some.
  void check_work(const StepPlan& plan) const {
    const bool starts = !plan.transfers_to_host.empty() || !plan.transfers_from_host.empty();
    const bool waits = unanswered_.empty() && !(to_host_.empty() && from_host_.empty());
    CHECK_MSG(!plan.scheduled.empty() || starts || waits, "a plan without work");
    const auto computes = [](const Unanswered& before) { return !before.work.empty(); };
    CHECK(std::ranges::count_if(unanswered_, computes) < config_.max_plans_in_flight);
    CHECK(std::ssize(unanswered_) <= config_.max_plans_in_flight);
  }

  // What is copied out is computed; it goes where nothing is read or written.
  void start(const TransferToHost& transfer) {
    for (const CopyToHost& copy : transfer.copies) {
      CHECK(copy.destination >= 0 && copy.destination.value() < info_.num_host_blocks);
      for (const auto& [id, other] : to_host_)
        CHECK_MSG(std::ranges::count(other.copies, copy.destination, &CopyToHost::destination) == 0,
                  "two blocks are copied to one host block");
      for (const auto& [id, other] : from_host_)
        CHECK_MSG(std::ranges::count(other.copies, copy.destination, &CopyFromHost::source) == 0,
                  "a host block is overwritten while it is read");
      for (const Unanswered& before : unanswered_)
        CHECK_MSG(!before.written.contains(copy.source), "a block is copied out while an unanswered plan writes it");
      in_host_memory_.erase(copy.destination);
    }
    CHECK(to_host_.emplace(transfer.id, transfer).second);
  }
  void start(const TransferFromHost& transfer) {
    for (const CopyFromHost& copy : transfer.copies) {
      CHECK_MSG(in_host_memory_.contains(copy.source), "nothing was copied to a host block that is read");
      check_unused(copy.destination);
    }
    CHECK(from_host_.emplace(transfer.id, transfer).second);
  }
  bool arrives(BlockId block) const {
    return std::ranges::any_of(from_host_, [&](const auto& running) {
      return std::ranges::count(running.second.copies, block, &CopyFromHost::destination) > 0;
    });
  }

  // Whole blocks are found, or arrive from the host; what is computed behind them has been copied either way.
  void enter(const NewSequence& sequence, const StepPlan& plan, Unanswered& unanswered) {
    const auto is_copied = [](const std::vector<BlockCopy>& copies, BlockId block) {
      return std::ranges::count(copies, block, &BlockCopy::destination) == 1;
    };
    const std::int32_t num_full = sequence.num_computed / kBlockSize;
    if (sequence.num_computed % kBlockSize != 0) {
      for (std::int32_t group = 0; group < info_.num_kv_groups(); ++group) {
        const BlockId partial = sequence.blocks.at(num_full * info_.num_kv_groups() + group);
        CHECK(is_copied(plan.block_copies, partial));
      }
    }
    const auto [entry, is_new] = tables_.emplace(sequence.slot, Table{sequence.sequence_id, {}, sequence.num_computed});
    CHECK(is_new);
    Table& table = entry->second;
    for (std::size_t i = 0; i < sequence.blocks.size(); ++i) {
      const BlockId block = sequence.blocks[i];
      if (block == kNoBlock) {
        CHECK_MSG(row_of(i) < hidden_blocks(window_of(i), sequence.num_computed), "a block in sight is not there");
        table.blocks.push_back(kNoBlock);
      } else if (is_hidden(i, sequence.num_computed)) {
        table.blocks.push_back(kNoBlock);
        unanswered.may_be_held.insert(block);  // of a fork; given back with the first answer
      } else if (row_of(i) < num_full) {
        table.blocks.push_back(block);
        for (const Unanswered& before : unanswered_) {
          CHECK_MSG(!before.written.contains(block), "a block is found while an unanswered plan writes it");
        }
      } else {
        hand_out(table, {block});
      }
    }
  }

  // Entries of block tables: those of a row hold the same tokens, each in the layers of another group.
  std::int32_t row_of(std::size_t entry) const { return static_cast<std::int32_t>(entry) / info_.num_kv_groups(); }
  bool is_hidden(std::size_t entry, std::int32_t num_computed) const {
    // Not even from a query behind the last full block, where the sequence may have to begin again.
    const std::int32_t num_full = num_computed / kBlockSize * kBlockSize;
    return row_of(entry) < hidden_blocks(window_of(entry), num_full);
  }
  std::int32_t window_of(std::size_t entry) const { return info_.kv_windows[entry % info_.kv_windows.size()]; }

  // What no later query sees is no longer in the table.
  std::vector<BlockId> hide(Table& table) const {
    std::vector<BlockId> hidden;
    for (std::size_t i = 0; i < table.blocks.size(); ++i) {
      if (!is_hidden(i, table.num_computed)) continue;
      const BlockId block = std::exchange(table.blocks.at(i), kNoBlock);
      if (block != kNoBlock) hidden.push_back(block);
    }
    return hidden;
  }

  // Drafts brought the sequence so far that its later plans begin past these. If it has left meanwhile, it may still
  // hold them until the last of these plans is answered.
  void forget(SlotId slot, const Work& work, const std::vector<BlockId>& hidden) {
    for (Unanswered& plan : unanswered_) {
      const auto found = plan.work.find(slot);
      if (found == plan.work.end() || found->second.sequence_id != work.sequence_id) continue;
      plan.may_be_held.insert(hidden.begin(), hidden.end());
      for (const BlockId block : hidden) {
        if (const auto named = plan.named.find(block); named != plan.named.end()) plan.named.erase(named);
      }
    }
  }

  void write(Table& table, const ScheduledSequence& scheduled, Unanswered& plan) {
    const std::int32_t start = table.num_computed + table.min_in_flight;
    for (std::size_t i = 0; i < table.blocks.size(); ++i) {
      if (!is_hidden(i, start) && table.blocks[i] != kNoBlock) plan.named.insert(table.blocks[i]);
    }
    const Work work{table.sequence_id, scheduled.num_tokens, scheduled.num_tokens + scheduled.num_draft_tokens};
    const std::int32_t first = start / kBlockSize * info_.num_kv_groups();
    table.min_in_flight += work.min_tokens;
    table.max_in_flight += work.max_tokens;
    plan.work.emplace(scheduled.slot, work);
    const std::int32_t end = blocks_for(table.num_computed + table.max_in_flight) * info_.num_kv_groups();
    for (std::int32_t i = first; i < end; ++i) {
      const BlockId block = table.blocks.at(i);
      std::int64_t num_tables = 0;
      for (const auto& [slot, other] : tables_) num_tables += std::ranges::count(other.blocks, block);
      CHECK_MSG(num_tables == 1, "a shared block is written");
      plan.written.insert(block);
    }
  }

  void check_unused(BlockId block) const {
    CHECK(block >= 0 && block.value() < info_.num_blocks);
    for (const auto& [slot, other] : tables_) {
      CHECK_MSG(std::ranges::count(other.blocks, block) == 0, "a block is in two tables");
    }
    for (const Unanswered& plan : unanswered_) {
      CHECK_MSG(!plan.named.contains(block), "a block was reused while an unanswered plan names it");
    }
    CHECK_MSG(!arrives(block), "a block was reused before its transfer is confirmed");
    for (const auto& [id, transfer] : to_host_)
      CHECK_MSG(std::ranges::count(transfer.copies, block, &CopyToHost::source) == 0,
                "a block was reused while it is copied out");
  }

  void hand_out(Table& table, const std::vector<BlockId>& blocks) {
    for (const BlockId block : blocks) {
      check_unused(block);
      table.blocks.push_back(block);
    }
  }

  SchedulerConfig config_;
  ReplicaInfo info_;
  Epoch epoch_;
  StepId last_step_id_ = 0;
  std::map<SlotId, Table> tables_;  // as the worker sees them after the last plan
  std::deque<Unanswered> unanswered_;
  std::map<TransferId, TransferToHost> to_host_;      // not confirmed
  std::map<TransferId, TransferFromHost> from_host_;  // not confirmed
  std::set<TransferId> ended_;                        // of these
  std::set<HostBlockId> in_host_memory_;              // host blocks with something in them
  std::uint64_t digest_ = 0;
};

}  // namespace caudal::sim
