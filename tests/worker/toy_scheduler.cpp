#include "tests/worker/toy_scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace caudal {
namespace {

class ToyScheduler {
 public:
  ToyScheduler(TestReplica& replica, const std::vector<ToyRequest>& requests, const ToyOptions& options)
      : replica_(replica), requests_(requests), options_(options) {
    run_.answers.resize(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) waiting_.push_back(i);
    const std::int32_t blocks = options.num_blocks > 0 ? options.num_blocks : replica.info().num_blocks;
    for (const BlockId b : ids<BlockId>(blocks)) free_blocks_.push_back(b);
    for (std::int32_t s = replica.info().max_num_sequences - 1; s >= 0; --s) free_slots_.push_back(SlotId::of(s));
  }

  ToyRun run() {
    std::size_t in_flight = 0;
    while (!waiting_.empty() || !running_.empty() || in_flight > 0) {
      const bool more = !waiting_.empty() || !running_.empty();
      if (more) replica_.submit(plan());
      in_flight += more ? 1 : 0;
      if (::testing::Test::HasFailure()) break;
      if (more && in_flight < options_.plans_in_flight) continue;
      apply(replica_.collect());
      --in_flight;
      ++run_.num_steps;
    }
    for (SlotId slot : released_) free_slots_.push_back(slot);
    if (!released_.empty()) replica_.run(empty_plan());
    return std::move(run_);
  }

 private:
  struct Unanswered {
    std::int32_t num_tokens = 0, num_drafts = 0;
    bool catches_up = false;
  };
  struct Running {
    std::size_t request = 0;
    StepId first_step = 0;
    SlotId slot = 0;
    std::int32_t num_tokens = 0;
    std::int32_t num_computed = 0;
    std::vector<BlockId> blocks;
    std::deque<Unanswered> unanswered;

    // As if all that is planned had come out, without accepted guesses.
    std::int32_t next_computed() const {
      std::int32_t sum = num_computed;
      for (const Unanswered& plan : unanswered) sum += plan.num_tokens;
      return sum;
    }
    std::int32_t next_tokens() const {
      std::int32_t sum = num_tokens;
      for (const Unanswered& plan : unanswered) sum += plan.catches_up ? 1 : 0;
      return sum;
    }
    std::int32_t most_accepted() const {
      std::int32_t sum = 0;
      for (const Unanswered& plan : unanswered) sum += plan.num_drafts;
      return sum;
    }
  };

  StepPlan empty_plan() {
    StepPlan plan;
    plan.epoch = 1;
    plan.step_id = next_step();
    plan.released = std::exchange(released_, {});
    return plan;
  }

  // Steps of one replica go on rising from run to run.
  static StepId next_step() {
    static StepId step = 0;
    return ++step;
  }

  StepPlan plan() {
    StepPlan plan = empty_plan();
    for (SlotId slot : plan.released) free_slots_.push_back(slot);
    std::int32_t budget = replica_.info().max_tokens_per_step;
    for (std::size_t i = 0; i < running_.size(); ++i) schedule(i, budget, plan);
    while (!waiting_.empty() && running_.size() < options_.max_running && budget > 0 && !free_slots_.empty() &&
           free_blocks_.size() >= blocks_for(total_tokens(waiting_.front()))) {
      admit(plan);
      schedule(running_.size() - 1, budget, plan);
    }
    return plan;
  }

  void admit(StepPlan& plan) {
    Running entering;
    entering.request = waiting_.front();
    entering.first_step = plan.step_id;
    waiting_.pop_front();
    entering.slot = free_slots_.back();
    free_slots_.pop_back();
    const ToyRequest& request = requests_[entering.request];
    run_.answers[entering.request].prompt_logprobs.clear();  // all of it is computed again
    NewSequence& told = plan.new_sequences.emplace_back();
    told.slot = entering.slot;
    told.sequence_id = entering.request + 1;
    told.tokens = request.prompt;
    const std::vector<TokenId>& before = run_.answers[entering.request].tokens;
    told.tokens.insert(told.tokens.end(), before.begin(), before.end());
    told.num_prompt_tokens = static_cast<std::int32_t>(request.prompt.size());
    told.params = request.params;
    entering.num_tokens = static_cast<std::int32_t>(told.tokens.size());
    running_.push_back(std::move(entering));
  }

  void schedule(std::size_t i, std::int32_t& budget, StepPlan& plan) {
    const std::int32_t computed = running_[i].next_computed(), ahead = running_[i].most_accepted();
    const std::int32_t wanted = std::min({running_[i].next_tokens() - computed, options_.chunk, budget});
    if (wanted < 1) return;
    const bool catches_up = computed + wanted == running_[i].next_tokens();
    std::int32_t drafts = catches_up ? std::min(options_.num_draft_tokens, budget - wanted) : 0;
    std::size_t needed = blocks_for(computed + ahead + wanted + drafts);
    if (free_blocks_.size() + running_[i].blocks.size() < needed) {  // nobody makes room for guesses
      drafts = 0;
      needed = blocks_for(computed + ahead + wanted);
    }
    // The youngest makes room, unless this step counts on it already.
    while (free_blocks_.size() + running_[i].blocks.size() < needed && running_.size() > i + 1) preempt();
    if (free_blocks_.size() + running_[i].blocks.size() < needed) return;
    ScheduledSequence& scheduled = plan.scheduled.emplace_back();
    scheduled.slot = running_[i].slot;
    scheduled.num_tokens = wanted;
    scheduled.num_draft_tokens = drafts;
    while (running_[i].blocks.size() < needed) {
      scheduled.new_blocks.push_back(free_blocks_.front());
      running_[i].blocks.push_back(free_blocks_.front());
      free_blocks_.pop_front();
    }
    budget -= wanted + drafts;
    running_[i].unanswered.push_back({wanted, drafts, catches_up});
  }

  void preempt() {
    Running victim = std::move(running_.back());
    running_.pop_back();
    // Not free before the next plan says so.
    released_.push_back(victim.slot);
    waiting_.push_front(victim.request);
    free_blocks_.insert(free_blocks_.end(), victim.blocks.begin(), victim.blocks.end());
    ++run_.num_preemptions;
  }

  void apply(const StepResult& result) {
    free_blocks_.insert(free_blocks_.end(), cooling_.begin(), cooling_.end());
    cooling_.clear();
    for (const SequenceResult& part : result.sequences) {
      const auto it = std::find_if(running_.begin(), running_.end(), [&](const Running& r) {
        return r.slot == part.slot && r.first_step <= result.step_id;
      });
      if (it == running_.end() && options_.plans_in_flight > 1) continue;  // preempted since: it will come again
      ASSERT_NE(it, running_.end());
      ToyAnswer& answer = run_.answers[it->request];
      EXPECT_EQ(part.sequence_id, it->request + 1);
      it->num_computed = part.num_computed;
      it->unanswered.pop_front();
      run_.num_drafted += part.num_drafted;
      run_.num_accepted += part.num_accepted;
      it->num_tokens += static_cast<std::int32_t>(part.tokens.size());
      answer.tokens.insert(answer.tokens.end(), part.tokens.begin(), part.tokens.end());
      answer.logprobs.insert(answer.logprobs.end(), part.logprobs.begin(), part.logprobs.end());
      answer.prompt_logprobs.insert(answer.prompt_logprobs.end(), part.prompt_logprobs.begin(),
                                    part.prompt_logprobs.end());
      answer.finish_reason = part.finish_reason;
      if (part.finish_reason == FinishReason::kNone) continue;
      released_.push_back(it->slot);
      std::deque<BlockId>& to = options_.plans_in_flight > 1 ? cooling_ : free_blocks_;
      to.insert(to.end(), it->blocks.begin(), it->blocks.end());
      running_.erase(it);
    }
  }

  // Of all KV groups.
  std::size_t blocks_for(std::int32_t tokens) const {
    return (static_cast<std::size_t>(tokens) + kBlockSize - 1) / kBlockSize * replica_.info().kv_windows.size();
  }
  std::int32_t total_tokens(std::size_t request) const {
    return static_cast<std::int32_t>(requests_[request].prompt.size() + run_.answers[request].tokens.size());
  }

  TestReplica& replica_;
  const std::vector<ToyRequest>& requests_;
  ToyOptions options_;
  ToyRun run_;
  std::deque<std::size_t> waiting_;
  std::vector<Running> running_;
  std::deque<BlockId> free_blocks_;
  std::deque<BlockId> cooling_;  // of sequences that ended, which the plan in flight may still name
  std::vector<SlotId> free_slots_, released_;
};

}  // namespace

ToyRun generate(TestReplica& replica, const std::vector<ToyRequest>& requests, const ToyOptions& options) {
  return ToyScheduler(replica, requests, options).run();
}

ToyRequest greedy_request(std::vector<TokenId> prompt, std::int32_t num_tokens) {
  ToyRequest request;
  request.prompt = std::move(prompt);
  request.params.sampling.temperature = 0.0F;
  request.params.stop.max_tokens = num_tokens;
  return request;
}

}  // namespace caudal
