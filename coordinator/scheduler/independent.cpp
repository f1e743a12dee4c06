// Independent: sequences of one request that have nothing to do with each other but their prompt.
#include "common/mutation.h"
#include "coordinator/scheduler/groups.h"
#include "coordinator/scheduler/lifecycle.h"

namespace caudal {

namespace {

class Independent final : public SequenceGroup {
 public:
  std::int32_t num_together() const override { return 1; }
  std::span<Sequence> bound_to(Sequence& sequence) override { return {&sequence, 1}; }
  bool is_choice(const Sequence&) const override { return true; }
  std::span<Sequence> give_up(Sequence& choice) override { return {&choice, 1}; }
  Sequence* enqueue(Sequence& sequence) override { return &sequence; }
  Sequence* dequeue(Sequence& sequence) override { return &sequence; }
  bool are_sampled() const override { return true; }

  void admit_others(PlanBuilder&, Sequence&) override {}
  bool must_enter(const Sequence&) const override { return false; }
  bool enter(PlanBuilder&, Sequence&, std::int32_t) override { return false; }
  bool is_in_step(StepId) const override { return false; }
  void complete(const Sequence&, NewSequence&) const override {}
  void complete(const Sequence&, ScheduledSequence&, StepId) override {}

  bool is_possible(const Sequence& sequence, const SequenceResult& result) const override;
  void take(Lifecycle& life, ReplicaState& replica, Sequence& sequence, SequenceResult& result) override;
  void check_integrity() const override {}
};

// Who goes on has either part of its tokens still to compute, or has sampled: then just the last one is not computed.
bool Independent::is_possible(const Sequence& sequence, const SequenceResult& result) const {
  if (result.finish_reason != FinishReason::kNone) return true;
  const std::int64_t num_known = sequence.num_tokens() + std::ssize(result.tokens);
  return result.tokens.empty() ? result.num_computed < num_known : result.num_computed == num_known - 1;
}

// Blocks that no layer reads any more go back; the tokens go to the client.
void Independent::take(Lifecycle& life, ReplicaState& replica, Sequence& sequence, SequenceResult& result) {
  Residence& residence = sequence.residence;
  if (sequence.is_running()) replica.kv().drop_hidden(residence.table, residence.num_computed);
  FinishReason finish_reason = result.finish_reason;
  if (finish_reason == FinishReason::kNone && sequence.num_tokens() >= residence.token_limit) {
    finish_reason = FinishReason::kLength;  // both sides know this bound: nothing can follow
  }
  const bool has_finished = finish_reason != FinishReason::kNone;
  const bool has_news = !result.tokens.empty() || !result.prompt_logprobs.empty();
  if (has_finished || has_news) life.emit(sequence, finish_reason, &result);
  if (has_finished) life.finish(sequence);
}

}  // namespace

SequenceGroup& independent() {
  static Independent only;
  return only;
}

}  // namespace caudal
