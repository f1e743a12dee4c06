#include "worker/speculation/drafter.h"

#include <algorithm>

#include "worker/speculation/ngram_lookup.h"

namespace caudal {
namespace {

bool looks_back(SpeculativeMode mode) { return mode == SpeculativeMode::kNgram || mode == SpeculativeMode::kAuto; }
bool asks_model(SpeculativeMode mode) { return mode == SpeculativeMode::kDraft || mode == SpeculativeMode::kAuto; }

bool guesses(const ScheduledWork& item) { return item.max_drafts > 0; }

}  // namespace

Result<std::unique_ptr<Drafter>> Drafter::create(Backend& backend, Communicator& group,
                                                 const std::optional<DraftStartup>& draft, std::int64_t max_rows,
                                                 std::int64_t num_blocks) {
  std::unique_ptr<Drafter> drafter(new Drafter(group, max_rows));
  if (!draft || group.rank() != 0) return drafter;
  Result<std::unique_ptr<DraftModel>> model = DraftModel::create(backend, *draft, num_blocks);
  if (!model) return model.error();
  drafter->model_ = std::move(model).value();
  return drafter;
}

Result<DraftTime> Drafter::propose(const SequenceTable& table, std::vector<ScheduledWork>& work) {
  if (std::none_of(work.begin(), work.end(), guesses)) return DraftTime();
  limit_to_rows(work);
  const DraftTime time = group_.rank() == 0 ? guess(table, work) : DraftTime();
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

// Every drawn token needs its row; what is left is for drafts, the first come first.
void Drafter::limit_to_rows(std::vector<ScheduledWork>& work) const {
  std::int64_t rows_left = max_rows_;
  for (const ScheduledWork& item : work) rows_left -= item.samples ? 1 : 0;
  for (ScheduledWork& item : work) {
    item.max_drafts =
        static_cast<std::int32_t>(std::min<std::int64_t>(item.max_drafts, std::max<std::int64_t>(rows_left, 0)));
    rows_left -= item.max_drafts;
  }
}

DraftTime Drafter::guess(const SequenceTable& table, std::vector<ScheduledWork>& work) {
  std::vector<DraftTask> tasks;
  for (ScheduledWork& item : work) {
    if (!guesses(item)) continue;
    const SequenceRow& sequence = table.at(item.slot);
    if (looks_back(sequence.speculative)) item.drafts = look_up_ngram(sequence.tokens, item.max_drafts);
    if (item.drafts.empty() && asks_model(sequence.speculative))
      tasks.push_back({item.slot, &sequence, item.max_drafts, &item.drafts});
  }
  return model_ && !tasks.empty() ? model_->propose(tasks) : DraftTime();
}

Result<void> Drafter::share(std::vector<ScheduledWork>& work) {
  told_.clear();
  for (const ScheduledWork& item : work) {
    if (!guesses(item)) continue;
    told_.push_back(static_cast<std::int32_t>(item.drafts.size()));
    told_.insert(told_.end(), item.drafts.begin(), item.drafts.end());
    told_.resize(told_.size() + static_cast<std::size_t>(item.max_drafts) - item.drafts.size());
  }
  if (Result<void> shared = group_.host().broadcast(told_, 0); !shared) return shared.error();
  auto next = told_.begin();
  for (ScheduledWork& item : work) {
    if (!guesses(item)) continue;
    item.drafts.assign(next + 1, next + 1 + *next);
    next += 1 + item.max_drafts;
  }
  return {};
}

}  // namespace caudal
