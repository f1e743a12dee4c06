// The contract of plans (common/types.h): diffs, counters, who finishes when, and refusal of broken plans.
#include "worker/batch/sequence_table.h"

#include <gtest/gtest.h>

#include <functional>

namespace caudal {
namespace {

constexpr TableLimits kLimits{.max_num_sequences = 4,
                              .max_tokens_per_step = 64,
                              .max_context_tokens = 48,
                              .num_blocks = 10,
                              .vocab_size = 100,
                              .num_host_blocks = 2};

NewSequence entering(SlotId slot, std::int32_t num_prompt_tokens) {
  NewSequence sequence;
  sequence.slot = slot;
  sequence.sequence_id = 7;
  sequence.tokens.assign(static_cast<std::size_t>(num_prompt_tokens), 5);
  sequence.num_prompt_tokens = num_prompt_tokens;
  sequence.blocks = {0, 1, 2};
  sequence.params.stop.max_tokens = 8;
  return sequence;
}

bool accepts(SequenceTable& table, StepPlan plan) { return table.apply(plan).ok(); }
bool accepts(StepPlan plan) {
  SequenceTable table(kLimits);
  return accepts(table, std::move(plan));
}

class Table : public testing::Test {
 protected:
  StepPlan plan(std::vector<NewSequence> entering, std::vector<ScheduledSequence> scheduled) {
    StepPlan plan;
    plan.step_id = ++step_;
    plan.new_sequences = std::move(entering);
    plan.scheduled = std::move(scheduled);
    return plan;
  }
  std::vector<ScheduledWork> apply(StepPlan plan) {
    Result<std::vector<ScheduledWork>> work = table_.apply(plan);
    EXPECT_TRUE(work.ok()) << (work.ok() ? "" : work.error().message);
    return work.ok() ? std::move(work).value() : std::vector<ScheduledWork>();
  }
  // Schedules slot 0 until it has drawn `token`.
  void draw(TokenId token) {
    for (const ScheduledWork& work : apply(plan({}, {{0, 64, {}}}))) {
      table_.advance(work.slot, work.num_tokens);
      if (work.samples) table_.append(work.slot, token);
    }
  }

  SequenceTable table_{kLimits};
  StepId step_ = 0;
};

TEST_F(Table, PrefillInChunksThenDecode) {
  std::vector<ScheduledWork> work = apply(plan({entering(0, 20)}, {{0, 16, {}}}));
  ASSERT_EQ(work.size(), 1U);
  EXPECT_EQ(work[0].num_tokens, 16);
  EXPECT_FALSE(work[0].samples);
  table_.advance(0, 16);
  work = apply(plan({}, {{0, 16, {}}}));  // more than there is: the rest of the prompt
  EXPECT_EQ(work[0].num_tokens, 4);
  EXPECT_TRUE(work[0].samples);
  table_.advance(0, 4);
  table_.append(0, 9);
  work = apply(plan({}, {{0, 1, {}}}));
  EXPECT_EQ(work[0].num_tokens, 1);
  EXPECT_TRUE(work[0].samples);
  EXPECT_EQ(table_.at(0).num_computed, 20);
  EXPECT_EQ(table_.at(0).num_output_tokens(), 1);
}

TEST_F(Table, CachedPrefixAndResumedOutput) {
  NewSequence resumed = entering(0, 20);
  resumed.num_prompt_tokens = 15;
  resumed.num_computed = 16;
  const std::vector<ScheduledWork> work = apply(plan({resumed}, {{0, 64, {}}}));
  EXPECT_EQ(work[0].num_tokens, 4);
  EXPECT_EQ(table_.at(0).num_output_tokens(), 5);
}

TEST_F(Table, EndsAtMaxTokensCountingThoseBeforeAPreemption) {
  NewSequence resumed = entering(0, 20);
  resumed.num_prompt_tokens = 14;  // 6 of 8 are out
  apply(plan({resumed}, {}));
  draw(1);
  EXPECT_FALSE(table_.at(0).finished());
  draw(1);
  EXPECT_EQ(table_.at(0).finish_reason, FinishReason::kLength);
}

TEST_F(Table, EndsAtTheContextLength) {
  NewSequence sequence = entering(0, 46);
  apply(plan({sequence}, {}));
  draw(1);
  EXPECT_FALSE(table_.at(0).finished());
  draw(1);
  EXPECT_EQ(table_.at(0).finish_reason, FinishReason::kLength);
  EXPECT_EQ(table_.at(0).num_tokens(), 48);
}

TEST_F(Table, StopTokensOnlyAfterMinTokens) {
  NewSequence sequence = entering(0, 4);
  sequence.params.stop.stop_token_ids = {42};
  sequence.params.stop.min_tokens = 2;
  apply(plan({sequence}, {}));
  draw(42);
  EXPECT_FALSE(table_.at(0).finished());
  draw(42);
  EXPECT_EQ(table_.at(0).finish_reason, FinishReason::kStop);
}

TEST_F(Table, UnusableLogitsEndInAnError) {
  apply(plan({entering(0, 4)}, {}));
  table_.append(0, std::nullopt);
  EXPECT_EQ(table_.at(0).finish_reason, FinishReason::kError);
  EXPECT_EQ(table_.at(0).num_tokens(), 4);
}

TEST_F(Table, FinishedSlotsAreSkippedUntilReleased) {
  NewSequence sequence = entering(0, 4);
  sequence.params.stop.max_tokens = 1;
  apply(plan({sequence, entering(1, 4)}, {}));
  draw(3);
  ASSERT_TRUE(table_.at(0).finished());
  const std::vector<ScheduledWork> work = apply(plan({}, {{0, 1, {5}}, {1, 4, {}}}));
  ASSERT_EQ(work.size(), 1U);
  EXPECT_EQ(work[0].slot, SlotId(1));
  StepPlan reuse = plan({entering(0, 6)}, {{0, 6, {}}});
  reuse.released = {0};
  EXPECT_EQ(apply(reuse).at(0).num_tokens, 6);
}

TEST_F(Table, TokensInFlightCountAndBecomeKnownInTheirOrder) {
  apply(plan({entering(0, 4)}, {{0, 4, {}}}));
  table_.advance(0, 4);
  table_.promise(0, {1, 0});
  table_.promise(0, {2, 3});
  EXPECT_EQ(table_.at(0).num_tokens(), 6);
  EXPECT_EQ(table_.at(0).num_output_tokens(), 2);
  table_.fulfil(0, 42);
  EXPECT_EQ(table_.at(0).tokens.back(), 42);
  ASSERT_EQ(table_.at(0).in_flight.size(), 1U);
  EXPECT_EQ(table_.at(0).in_flight[0].step, 2U);
  EXPECT_EQ(table_.at(0).in_flight[0].row, 3);
  EXPECT_EQ(table_.at(0).num_tokens(), 6);
}

TEST_F(Table, ASequenceThatEndsForgetsWhatIsInFlight) {
  for (const std::optional<TokenId> last : {std::optional<TokenId>(9), std::optional<TokenId>()}) {
    NewSequence stops = entering(0, 4);
    stops.params.stop.stop_token_ids = {9};
    table_.clear();
    apply(plan({stops}, {{0, 4, {}}}));
    table_.advance(0, 4);
    table_.promise(0, {1, 0});
    table_.advance(0, 1);
    table_.promise(0, {2, 0});
    table_.fulfil(0, last);
    EXPECT_TRUE(table_.at(0).finished());
    EXPECT_EQ(table_.at(0).num_tokens(), last ? 5 : 4);
    EXPECT_EQ(table_.at(0).num_computed, 4);
  }
}

// The tokens of a long prompt are there once, from the link to the step.
TEST_F(Table, TakesTheTokensOfAPlanWithoutCopying) {
  StepPlan enters = plan({entering(0, 20)}, {{0, 16, {}}});
  const TokenId* tokens = enters.new_sequences[0].tokens.data();
  const BlockId* blocks = enters.new_sequences[0].blocks.data();
  ASSERT_TRUE(table_.apply(enters).ok());
  EXPECT_EQ(table_.at(0).tokens.data(), tokens);
  EXPECT_EQ(table_.at(0).blocks.data(), blocks);
}

TEST_F(Table, CountsTokensOnlyForPenalties) {
  NewSequence plain = entering(0, 4), penalised = entering(1, 4);
  penalised.params.sampling.repetition_penalty = 1.2F;
  penalised.tokens = {1, 2, 1, 9};
  penalised.num_prompt_tokens = 3;
  apply(plan({plain, penalised}, {}));
  EXPECT_TRUE(table_.at(0).counts.all().empty());
  table_.append(1, 1);
  table_.append(1, 9);
  std::map<TokenId, std::int32_t> counts;
  for (const TokenCount& count : table_.at(1).counts.all()) counts[count.token] = count.output_count;
  EXPECT_EQ(counts, (std::map<TokenId, std::int32_t>{{1, 1}, {2, 0}, {9, 2}}));
}

TEST_F(Table, RefusesBrokenPlans) {
  const std::vector<std::pair<const char*, std::function<void(StepPlan&)>>> broken = {
      {"slot out of range", [](StepPlan& p) { p.scheduled[0].slot = 4; }},
      {"negative slot", [](StepPlan& p) { p.scheduled[0].slot = -1; }},
      {"empty slot", [](StepPlan& p) { p.scheduled[0].slot = 2; }},
      {"slot twice", [](StepPlan& p) { p.scheduled.push_back(p.scheduled[0]); }},
      {"no tokens", [](StepPlan& p) { p.scheduled[0].num_tokens = 0; }},
      {"too few blocks", [](StepPlan& p) { p.new_sequences[0].blocks = {1}; }},
      {"unknown block", [](StepPlan& p) { p.new_sequences[0].blocks[1] = 10; }},
      {"unknown new block", [](StepPlan& p) { p.scheduled[0].new_blocks = {-1}; }},
      {"unknown copy",
       [](StepPlan& p) {
         p.block_copies = {{0, 10}};
       }},
      {"out of an unknown block",
       [](StepPlan& p) {
         p.transfers_to_host = {{.id = 1, .copies = {{10, 0}}}};
       }},
      {"out to an unknown host block",
       [](StepPlan& p) {
         p.transfers_to_host = {{.id = 1, .copies = {{0, 2}}}};
       }},
      {"in from an unknown host block",
       [](StepPlan& p) {
         p.transfers_from_host = {{.id = 1, .copies = {{2, 0}}}};
       }},
      {"in to an unknown block",
       [](StepPlan& p) {
         p.transfers_from_host = {{.id = 1, .copies = {{1, 10}}}};
       }},
      {"released nothing", [](StepPlan& p) { p.released = {3}; }},
      {"slot taken", [](StepPlan& p) { p.new_sequences.push_back(p.new_sequences[0]); }},
      {"no prompt", [](StepPlan& p) { p.new_sequences[0].num_prompt_tokens = 0; }},
      {"all computed", [](StepPlan& p) { p.new_sequences[0].num_computed = 20; }},
      {"empty sequence", [](StepPlan& p) { p.new_sequences[0].tokens.clear(); }},
      {"token out of range", [](StepPlan& p) { p.new_sequences[0].tokens[3] = 100; }},
      {"longer than the context", [](StepPlan& p) { p.new_sequences[0].tokens.resize(48, 1); }},
      {"over the step's tokens", [](StepPlan& p) {
         for (const SlotId slot : std::initializer_list<SlotId>{1, 2, 3}) {
           p.new_sequences.push_back(entering(slot, 20));
           p.scheduled.push_back({slot, 20, {}});
         }
       }}};
  for (const auto& [what, damage] : broken) {
    SequenceTable table(kLimits);
    StepPlan damaged = plan({entering(0, 20)}, {{0, 20, {}}});
    damage(damaged);
    EXPECT_FALSE(table.apply(damaged).ok()) << what;
  }
}

TEST(KvGroups, HaveEquallyManyBlocks) {
  TableLimits limits = kLimits;
  limits.num_kv_groups = 3;
  const auto is_accepted = [&](std::vector<BlockId> blocks, std::vector<BlockId> new_blocks) {
    NewSequence sequence = entering(0, 20);
    sequence.blocks = std::move(blocks);
    StepPlan plan;
    plan.step_id = 1;
    plan.new_sequences = {sequence};
    plan.scheduled = {{0, 20, std::move(new_blocks)}};
    return SequenceTable(limits).apply(plan).ok();
  };
  EXPECT_TRUE(is_accepted({0, 1, 2, 3, 4, 5}, {}));
  EXPECT_TRUE(is_accepted({0, 1, 2}, {3, 4, 5}));
  EXPECT_FALSE(is_accepted({0, 1, 2}, {})) << "20 tokens lie in two blocks of each group";
  EXPECT_FALSE(is_accepted({0, 1, 2, 3}, {4, 5}));
  EXPECT_FALSE(is_accepted({0, 1, 2}, {3, 4, 5, 6}));
}

NewSequence entering_beam(std::int32_t num_prompt_tokens) {
  NewSequence beam = entering(0, num_prompt_tokens);
  beam.is_beam = true;
  return beam;
}

TEST_F(Table, ABeamGetsItsTokensWithItsWork) {
  ASSERT_EQ(apply(plan({entering_beam(3)}, {{0, 3, {}}})).size(), 1U);
  table_.advance(0, 3);
  ScheduledSequence next{0, 1, {}};
  next.next_token = 42;
  const std::vector<ScheduledWork> work = apply(plan({}, {next}));
  ASSERT_EQ(work.size(), 1U);
  EXPECT_TRUE(work[0].samples);
  EXPECT_EQ(table_.at(0).tokens.back(), 42);
  EXPECT_EQ(table_.at(0).num_tokens(), 4);
}

TEST_F(Table, TokensForOthersOrTooEarlyBreakTheContract) {
  ScheduledSequence next{0, 1, {}};
  next.next_token = 42;
  EXPECT_FALSE(accepts(plan({entering(0, 3)}, {next}))) << "it draws for itself";
  EXPECT_FALSE(accepts(plan({entering_beam(3)}, {next}))) << "its tokens are not computed";
  SequenceTable table(kLimits);
  ASSERT_TRUE(accepts(table, plan({entering_beam(3)}, {{0, 3, {}}})));
  table.advance(0, 3);
  next.next_token = 100;
  EXPECT_FALSE(accepts(table, plan({}, {next}))) << "no such token";
  SequenceTable idle(kLimits);
  ASSERT_TRUE(accepts(idle, plan({entering_beam(3)}, {{0, 3, {}}})));
  idle.advance(0, 3);
  EXPECT_FALSE(accepts(idle, plan({}, {{0, 1, {}}}))) << "nothing to compute";
}

}  // namespace
}  // namespace caudal
