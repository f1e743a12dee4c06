#include "worker/speculation/drafter.h"

#include <algorithm>

#include "worker/sampling/grammars.h"
#include "worker/speculation/ngram_lookup.h"

namespace caudal {
namespace {

bool uses_lookup(SpeculativeMode mode) { return mode == SpeculativeMode::kNgram || mode == SpeculativeMode::kAuto; }
bool uses_model(SpeculativeMode mode) { return mode == SpeculativeMode::kDraft || mode == SpeculativeMode::kAuto; }

bool has_grammar(const SequenceRow& sequence) { return sequence.params.sampling.grammar.kind != GrammarKind::kNone; }

bool may_draft(const ScheduledWork& item) { return item.max_drafts > 0; }

}  // namespace

Result<std::unique_ptr<Drafter>> Drafter::create(Backend& backend, Communicator& group,
                                                 const std::optional<DraftStartup>& draft, std::int64_t max_rows,
                                                 std::int64_t num_blocks, std::shared_ptr<Grammars> grammars) {
  std::unique_ptr<Drafter> drafter(new Drafter(group, max_rows, grammars));
  if (!draft || group.rank() != 0) return drafter;
  Result<std::unique_ptr<DraftModel>> model = DraftModel::create(backend, *draft, num_blocks, std::move(grammars));
  if (!model) return model.error();
  drafter->model_ = std::move(model).value();
  return drafter;
}

Result<DraftTime> Drafter::propose(const SequenceTable& table, std::vector<ScheduledWork>& work) {
  if (std::none_of(work.begin(), work.end(), may_draft)) return DraftTime();
  limit_to_rows(work);
  const DraftTime time = group_.rank() == 0 ? draft(table, work) : DraftTime();
  if (group_.size() == 1) return time;
  if (Result<void> shared = share(work); !shared) return shared.error();
  return time;
}

void Drafter::forget(SlotId slot) {
  if (model_) model_->forget(slot);
}

void Drafter::clear() {
  if (model_) model_->clear();
}

// Every sampled token needs its row of logits. The rows that are left are for draft tokens; earlier items come first.
void Drafter::limit_to_rows(std::vector<ScheduledWork>& work) const {
  std::int64_t rows_left = max_rows_;
  for (const ScheduledWork& item : work) rows_left -= item.samples ? 1 : 0;
  for (ScheduledWork& item : work) {
    item.max_drafts =
        static_cast<std::int32_t>(std::min<std::int64_t>(item.max_drafts, std::max<std::int64_t>(rows_left, 0)));
    rows_left -= item.max_drafts;
  }
}

DraftTime Drafter::draft(const SequenceTable& table, std::vector<ScheduledWork>& work) {
  std::vector<DraftTask> tasks;
  for (ScheduledWork& item : work) {
    if (!may_draft(item)) continue;
    const SequenceRow& sequence = table.at(item.slot);
    const SpeculativeMode mode = sequence.params.speculative.value_or(SpeculativeMode::kOff);
    if (draft_forced(sequence, item)) continue;
    if (uses_lookup(mode)) item.drafts = look_up_ngram(sequence.tokens, item.max_drafts);
    if (has_grammar(sequence)) item.drafts.resize(grammars_->num_allowed(sequence, item.drafts));
    if (item.drafts.empty() && uses_model(mode)) tasks.push_back({item.slot, &sequence, item.max_drafts, &item.drafts});
  }
  return model_ && !tasks.empty() ? model_->propose(tasks) : DraftTime();
}

// False where the grammar leaves a choice, or there is none.
bool Drafter::draft_forced(const SequenceRow& sequence, ScheduledWork& item) {
  if (!has_grammar(sequence)) return false;
  item.drafts = grammars_->forced(sequence, item.max_drafts);
  return !item.drafts.empty();
}

Result<void> Drafter::share(std::vector<ScheduledWork>& work) {
  sent_.clear();
  for (const ScheduledWork& item : work) {
    if (!may_draft(item)) continue;
    sent_.push_back(static_cast<std::int32_t>(item.drafts.size()));
    sent_.insert(sent_.end(), item.drafts.begin(), item.drafts.end());
    sent_.resize(sent_.size() + static_cast<std::size_t>(item.max_drafts) - item.drafts.size());
  }
  if (Result<void> shared = group_.host().broadcast(sent_, 0); !shared) return shared.error();
  auto next = sent_.begin();
  for (ScheduledWork& item : work) {
    if (!may_draft(item)) continue;
    item.drafts.assign(next + 1, next + 1 + *next);
    next += 1 + item.max_drafts;
  }
  return {};
}

}  // namespace caudal
