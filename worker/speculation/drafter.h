// Drafter: proposes draft tokens before the model computes them: what a grammar leaves no choice about, by prompt
// lookup, or with a smaller model. Rank 0 proposes and sends its draft tokens to the other ranks, so that all compute
// the same. A wrong draft token costs time and changes no answer: what is generated does not depend on this file. Owned
// by the runner, used by the step thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kernels/comm/communicator.h"
#include "worker/batch/sequence_table.h"
#include "worker/speculation/draft_model.h"

namespace caudal {

class Drafter {
 public:
  // Loads the draft model, if there is one, with `num_blocks` of KV. A step has at most `max_rows` rows of logits, for
  // sampled tokens and draft tokens together.
  static Result<std::unique_ptr<Drafter>> create(Backend& backend, Communicator& group,
                                                 const std::optional<DraftStartup>& draft, std::int64_t max_rows,
                                                 std::int64_t num_blocks, std::shared_ptr<Grammars> grammars);

  // Fills in the drafts of every item that may have some. Returns the time of the draft model, on rank 0; an Error when
  // a rank is lost.
  Result<DraftTime> propose(const SequenceTable& table, std::vector<ScheduledWork>& work);

  // To be called when another sequence enters the slot.
  void forget(SlotId slot);
  void clear();

 private:
  Drafter(Communicator& group, std::int64_t max_rows, std::shared_ptr<Grammars> grammars)
      : group_(group), max_rows_(max_rows), grammars_(std::move(grammars)) {}
  bool draft_forced(const SequenceRow& sequence, ScheduledWork& item);
  void limit_to_rows(std::vector<ScheduledWork>& work) const;
  DraftTime draft(const SequenceTable& table, std::vector<ScheduledWork>& work);
  Result<void> share(std::vector<ScheduledWork>& work);

  Communicator& group_;
  std::int64_t max_rows_;
  std::shared_ptr<Grammars> grammars_;
  std::unique_ptr<DraftModel> model_;  // null: none, or not rank 0
  std::vector<std::int32_t> sent_;     // per item: how many, then the tokens, padded to max_drafts
};

}  // namespace caudal
