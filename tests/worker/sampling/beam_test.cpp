// Beam search end to end but for the network: the coordinator's scheduler and a replica with a golden model find the
// hypotheses that transformers finds (tests/reference/beams.json), with roomy and tight block pools, prefix cache or
// not, one rank or two. And bans hold for beams.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <map>

#include "coordinator/scheduler/scheduler.h"
#include "tests/worker/fixture.h"
#include "tests/worker/replica.h"

namespace caudal {
namespace {

namespace json = boost::json;

struct Answer {
  std::vector<TokenId> tokens;
  double score = 0.0;
};

struct Case {
  Request request;
  std::vector<Answer> answers;
};

std::vector<Case> load_cases(const std::string& model) {
  std::ifstream file(std::filesystem::path(CAUDAL_TEST_DATA) / "reference/beams.json");
  const json::value root =
      json::parse(std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>()));
  std::vector<Case> cases;
  for (const json::value& entry : root.at("cases").as_array()) {
    if (entry.at("model").as_string() != model) continue;
    Case& one = cases.emplace_back();
    one.request.id = cases.size();
    one.request.prompt = json::value_to<std::vector<TokenId>>(entry.at("prompt"));
    one.request.params.stop.max_tokens = json::value_to<std::int32_t>(root.at("max_tokens"));
    one.request.params.stop.stop_token_ids = json::value_to<std::vector<TokenId>>(entry.at("stops"));
    one.request.params.sampling.temperature = 0.0F;
    one.request.params.sampling.num_logprobs = 0;
    const json::value& early = entry.at("early_stopping");
    one.request.beam = BeamParams{.width = json::value_to<std::int32_t>(entry.at("beams")),
                                  .length_penalty = json::value_to<double>(entry.at("length_penalty")),
                                  .early_stopping = early.is_string() ? EarlyStopping::kNever
                                                    : early.as_bool() ? EarlyStopping::kYes
                                                                      : EarlyStopping::kNo};
    for (const json::value& answer : entry.at("answers").as_array()) {
      one.answers.push_back(
          {json::value_to<std::vector<TokenId>>(answer.at("tokens")), json::value_to<double>(answer.at("score"))});
    }
    one.request.num_sequences = static_cast<std::int32_t>(one.answers.size());
  }
  return cases;
}

struct Searches {
  std::map<RequestId, std::vector<Answer>> answers;  // by choice
  std::vector<TokenId> plain;                        // of the requests without beams
  SchedulerStats stats;
  ReplicaStats replica;
};

class BeamSearchOnAModel : public testing::Test {
 protected:
  static TestReplica make_replica(const std::string& model, int ranks = 1) {
    RunnerOptions options;
    options.dtype = DTypeChoice::kF32;
    options.max_num_sequences = 32;
    options.max_tokens_per_step = 64;
    options.kv.num_blocks = 256;
    return TestReplica(load_fixture(model).model_dir, ranks, options);
  }

  // Everything at once; `num_blocks` of the replica's.
  static Searches run(TestReplica& replica, const std::vector<Request>& requests, const SchedulerConfig& config = {},
                      std::int32_t num_blocks = 256) {
    static Epoch epoch = 0;
    Scheduler scheduler(config);
    ReplicaInfo info = replica.info();
    info.num_blocks = num_blocks;
    scheduler.replica_joined(1, ++epoch, info, 0);
    replica.clear();
    for (Request request : requests) EXPECT_EQ(scheduler.submit(std::move(request), 0), RejectReason::kNone);
    Searches run;
    while (auto plan = scheduler.plan(1, 0)) {
      EXPECT_TRUE(scheduler.apply(1, replica.run(*plan), 0));
      scheduler.check_integrity();
      for (const TokenEvent& event : scheduler.take_events()) take(event, requests, run);
      if (HasFailure()) break;
    }
    run.stats = scheduler.stats();
    run.replica = scheduler.replica_stats(1);
    EXPECT_EQ(run.replica.num_used_blocks, 0);
    return run;
  }

  static void expect_golden(const Searches& run, const std::vector<Case>& cases, const std::string& what) {
    for (const Case& one : cases) {
      const auto found = run.answers.find(one.request.id);
      ASSERT_TRUE(found != run.answers.end() && found->second.size() == one.answers.size()) << what;
      for (std::size_t i = 0; i < one.answers.size(); ++i) {
        EXPECT_EQ(found->second[i].tokens, one.answers[i].tokens)
            << what << ", case " << one.request.id << ", choice " << i;
        EXPECT_NEAR(found->second[i].score, one.answers[i].score, 2e-4) << what << ", case " << one.request.id;
      }
    }
  }

 private:
  static void take(const TokenEvent& event, const std::vector<Request>& requests, Searches& run) {
    if (!requests.at(event.request_id - 1).beam) {
      run.plain.insert(run.plain.end(), event.tokens.begin(), event.tokens.end());
      return;
    }
    EXPECT_NE(event.finish_reason, FinishReason::kNone) << "a search tells nothing before its end";
    EXPECT_EQ(event.logprobs.size(), event.tokens.size());
    Answer answer{event.tokens};
    for (const auto& entries : event.logprobs) answer.score += static_cast<double>(entries.at(0).logprob);
    const BeamParams& params = *requests.at(event.request_id - 1).beam;
    answer.score /= std::pow(static_cast<double>(event.tokens.size()), params.length_penalty);
    auto& answers = run.answers[event.request_id];
    EXPECT_EQ(event.sequence_index, std::ssize(answers));
    answers.push_back(std::move(answer));
  }
};

std::vector<Request> requests_of(const std::vector<Case>& cases) {
  std::vector<Request> requests;
  for (const Case& one : cases) requests.push_back(one.request);
  return requests;
}

TEST_F(BeamSearchOnAModel, FindsWhatTransformersFinds) {
  for (const std::string model : {"llama3_2", "qwen3"}) {
    TestReplica replica = make_replica(model);
    ASSERT_TRUE(replica.valid());
    const std::vector<Case> cases = load_cases(model);
    ASSERT_GE(cases.size(), 40U);
    const Searches roomy = run(replica, requests_of(cases));
    expect_golden(roomy, cases, model);
    EXPECT_EQ(roomy.stats.num_preemptions, 0U);
    // A prompt is computed once per search, or less: its beams share it.
    std::uint64_t num_prompt_tokens = 0;
    for (const Case& one : cases) num_prompt_tokens += one.request.prompt.size();
    EXPECT_LE(roomy.replica.num_prompt_tokens_computed, num_prompt_tokens);
  }
}

TEST_F(BeamSearchOnAModel, PreemptionAndSmallStepsChangeNothing) {
  TestReplica replica = make_replica("llama3_2");
  ASSERT_TRUE(replica.valid());
  const std::vector<Case> cases = load_cases("llama3_2");
  // A long answer that comes first takes the blocks of the others one by one.
  std::vector<Request> requests = requests_of(cases);
  const FixtureCase longer = load_fixture("llama3_2").cases.at(3);
  Request& first = requests.emplace_back();
  first.id = requests.size();
  first.prompt = longer.prompt;
  first.params.sampling.temperature = 0.0F;
  first.params.stop.max_tokens = static_cast<std::int32_t>(longer.greedy_f32.size());
  first.priority = -1;
  const SchedulerConfig configs[] = {
      {}, {.max_tokens_per_step = 11}, {.max_preemptions = 1}, {.prefix_caching = false}, {.max_plans_in_flight = 1}};
  std::uint64_t num_preemptions = 0;
  for (std::size_t i = 0; i < std::size(configs); ++i) {
    const Searches tight = run(replica, requests, configs[i], 16);
    expect_golden(tight, cases, "config " + std::to_string(i));
    EXPECT_EQ(tight.plain, longer.greedy_f32);
    num_preemptions += tight.stats.num_preemptions;
  }
  EXPECT_GT(num_preemptions, 10U);
}

TEST_F(BeamSearchOnAModel, TwoRanksFindTheSame) {
  TestReplica replica = make_replica("qwen3", 2);
  ASSERT_TRUE(replica.valid());
  const std::vector<Case> cases = load_cases("qwen3");
  expect_golden(run(replica, requests_of(cases)), cases, "two ranks");
}

// What the best beam says is banned: a token, and a pair. And no stop comes too early.
TEST_F(BeamSearchOnAModel, BansHold) {
  TestReplica replica = make_replica("llama3_2");
  ASSERT_TRUE(replica.valid());
  std::vector<Request> requests = requests_of(load_cases("llama3_2"));
  requests.resize(1);
  const std::vector<TokenId> said = run(replica, requests).answers[1].at(0).tokens;
  requests[0].params.sampling.bad_words = {{said[4]}, {said[1], said[2]}};
  requests[0].params.stop.stop_token_ids = {said[0]};
  requests[0].params.stop.min_tokens = 5;
  requests[0].num_sequences = requests[0].beam->width = 4;
  Searches banned = run(replica, requests);
  EXPECT_EQ(banned.answers[1].size(), 4U);
  for (const Answer& answer : banned.answers[1]) {
    EXPECT_EQ(std::ranges::count(answer.tokens, said[4]), 0);
    EXPECT_TRUE(std::ranges::search(answer.tokens, std::vector{said[1], said[2]}).empty());
    EXPECT_GE(answer.tokens.size(), 5U);
    EXPECT_NE(answer.tokens[0], said[0]);
  }
}

// One beam is greedy search.
TEST_F(BeamSearchOnAModel, OneBeamIsGreedy) {
  TestReplica replica = make_replica("qwen3");
  ASSERT_TRUE(replica.valid());
  const Fixture fixture = load_fixture("qwen3");
  std::vector<Request> requests;
  for (const FixtureCase& one : fixture.cases) {
    Request& request = requests.emplace_back();
    request.id = requests.size();
    request.prompt = one.prompt;
    request.params.sampling.num_logprobs = 0;
    request.params.stop.max_tokens = static_cast<std::int32_t>(one.greedy_f32.size());
    request.beam = BeamParams{};
  }
  Searches greedy = run(replica, requests);
  for (std::size_t i = 0; i < requests.size(); ++i)
    EXPECT_EQ(greedy.answers[i + 1].at(0).tokens, fixture.cases[i].greedy_f32);
}

}  // namespace
}  // namespace caudal
