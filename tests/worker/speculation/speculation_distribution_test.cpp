// With speculation, sampled tokens are distributed as the model says: chi-squared over a million runs of two tokens
// behind draft tokens, for several temperatures, filters, penalties, biases and bans, against float64.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "kernels/factory/make_backend.h"
#include "tests/kernels/reference_sampling.h"
#include "tests/sanitized.h"
#include "worker/comm/local.h"
#include "worker/sampling/sampler.h"

namespace caudal {
namespace {

constexpr std::size_t kVocab = 6;
constexpr int kRuns = test::kSanitized ? 5'000 : 100'000, kChunk = 1000;

using Logits = std::vector<float>;  // [kVocab]

// A model of two tokens: the second depends on the first. The draft knows them roughly.
struct ToyLogits {
  Logits first, draft;
  std::vector<Logits> second;  // by first token

  explicit ToyLogits(unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, 1.5F), noise(0.0F, 0.8F);
    const auto row = [&] {
      Logits logits(kVocab);
      for (float& logit : logits) logit = normal(random);
      return logits;
    };
    first = draft = row();
    for (float& logit : draft) logit += noise(random);
    for (std::size_t t = 0; t < kVocab; ++t) second.push_back(row());
  }
};

class Sampling {
 public:
  std::vector<TokenId> sample(const std::vector<Logits>& rows, const std::vector<SampleTask>& tasks) {
    const auto n = static_cast<std::int64_t>(rows.size());
    const Tensor logits = memory_.tensor(DType::kF32, {n, kVocab});
    for (std::size_t i = 0; i < rows.size(); ++i)
      std::copy(rows[i].begin(), rows[i].end(), logits.as<float>() + i * kVocab);
    std::vector<TokenId> tokens;
    for (const SamplingOutput& output : sampler_->sample(logits, tasks)) tokens.push_back(output.token);
    return tokens;
  }

 private:
  std::unique_ptr<Backend> backend_ = std::move(make_backend({.num_threads = 1, .max_isa = ""})).value();
  std::unique_ptr<Communicator> alone_ = std::move(make_local_group(1).front());
  Buffer memory_ = std::move(backend_->allocate(2 * kChunk * kVocab * sizeof(float))).value();
  std::unique_ptr<Sampler> sampler_ = std::move(Sampler::create(*backend_, *alone_, kVocab, 2 * kChunk)).value();
};

// Prompt 0 1, output 2 so far.
SequenceRow sequence_with(const SamplingParams& params, const StopParams& stop, std::uint64_t seed) {
  SequenceRow sequence;
  sequence.tokens = {0, 1, 2};
  sequence.num_prompt_tokens = 2;
  sequence.params.sampling = params;
  sequence.params.sampling.seed = seed;
  sequence.params.stop = stop;
  sequence.counts.add_prompt(0);
  sequence.counts.add_prompt(1);
  sequence.counts.add_output(2);
  return sequence;
}

struct Counts {
  std::vector<double> kept = std::vector<double>(kVocab * kVocab);       // of pairs, by the rule of the runner
  std::vector<double> credulous = std::vector<double>(kVocab * kVocab);  // if every draft token were kept
  double num_accepted = 0;
};

void run_chunk(Sampling& sampling, const ToyLogits& model, std::vector<SequenceRow>& sequences, Counts& counts) {
  std::vector<SampleTask> plain;
  for (const SequenceRow& sequence : sequences) plain.push_back({&sequence});
  const std::vector<TokenId> drafts = sampling.sample(std::vector<Logits>(sequences.size(), model.draft), plain);
  std::vector<Logits> rows;
  std::vector<SampleTask> tasks;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    rows.push_back(model.first);
    tasks.push_back({&sequences[i]});
    rows.push_back(model.second[static_cast<std::size_t>(drafts[i])]);
    tasks.push_back({&sequences[i], {&drafts[i], 1}});
  }
  const std::vector<TokenId> verified = sampling.sample(rows, tasks);
  // The next step of all, needed by those whose draft token was wrong.
  rows.clear();
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    sequences[i].tokens.push_back(verified[2 * i]);
    sequences[i].counts.add_output(verified[2 * i]);
    rows.push_back(model.second[static_cast<std::size_t>(verified[2 * i])]);
  }
  const std::vector<TokenId> next = sampling.sample(rows, plain);
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const TokenId first = verified[2 * i];
    const bool accepted = first == drafts[i];
    const TokenId second = accepted ? verified[2 * i + 1] : next[i];
    EXPECT_EQ(second, next[i]) << "plain decoding samples the same";
    counts.num_accepted += accepted ? 1 : 0;
    counts.kept[static_cast<std::size_t>(first) * kVocab + static_cast<std::size_t>(second)] += 1;
    counts.credulous[static_cast<std::size_t>(drafts[i]) * kVocab + static_cast<std::size_t>(verified[2 * i + 1])] += 1;
  }
}

// Of the pairs of tokens.
std::vector<double> expected_shares(const ToyLogits& model, const SamplingParams& params, const StopParams& stop) {
  const auto distribution = [&](const Logits& logits, const SequenceRow& sequence) {
    SamplingRow row;
    row.params = &params;
    row.counts = sequence.counts.all();
    std::vector<TokenId> banned;
    if (sequence.num_output_tokens() < stop.min_tokens) banned = stop.stop_token_ids;
    for (const std::vector<TokenId>& word : params.bad_words)  // of one or two tokens
      if (word.size() == 1 || word.front() == sequence.tokens.back()) banned.push_back(word.back());
    row.banned = banned;
    return reference::distribution({logits.begin(), logits.end()}, row);
  };
  const SequenceRow before = sequence_with(params, stop, 0);
  const std::vector<double> first = distribution(model.first, before);
  std::vector<double> shares;
  for (std::size_t t = 0; t < kVocab; ++t) {
    SequenceRow after = before;
    after.tokens.push_back(static_cast<TokenId>(t));
    after.counts.add_output(static_cast<TokenId>(t));
    for (double second : distribution(model.second[t], after)) shares.push_back(first[t] * second);
  }
  return shares;
}

// The distance in standard normal terms (Wilson and Hilferty 1931); infinite where the impossible happened.
double surprise(const std::vector<double>& counts, const std::vector<double>& shares) {
  double statistic = 0, freedom = -1;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double expected = shares[i] * kRuns;
    if (shares[i] == 0.0 && counts[i] > 0) return INFINITY;
    if (expected < 5) continue;
    statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
    freedom += 1;
  }
  return (std::cbrt(statistic / freedom) - (1 - 2 / (9 * freedom))) / std::sqrt(2 / (9 * freedom));
}

struct Case {
  const char* name;
  std::function<void(SamplingParams&, StopParams&)> set;
};

const Case kCases[] = {
    {"plain", [](SamplingParams&, StopParams&) {}},
    {"cold", [](SamplingParams& p, StopParams&) { p.temperature = 0.4F; }},
    {"hot", [](SamplingParams& p, StopParams&) { p.temperature = 2.5F; }},
    {"top_k", [](SamplingParams& p, StopParams&) { p.top_k = 3; }},
    {"top_p", [](SamplingParams& p, StopParams&) { p.temperature = 1.3F, p.top_p = 0.8F; }},
    {"min_p", [](SamplingParams& p, StopParams&) { p.min_p = 0.15F; }},
    {"penalties",
     [](SamplingParams& p, StopParams&) {
       p.repetition_penalty = 1.4F, p.presence_penalty = 0.6F, p.frequency_penalty = 0.5F;
     }},
    {"bias",
     [](SamplingParams& p, StopParams&) {
       p.logit_bias = {{1, 1.5F}, {4, -2.0F}};
     }},
    {"min_tokens",  // bans hold for the first of the two tokens
     [](SamplingParams&, StopParams& s) {
       s.min_tokens = 2, s.stop_token_ids = {0, 3};
     }},
    {"bad_words",  // the second behind the output so far, the others behind a draft token
     [](SamplingParams& p, StopParams&) {
       p.bad_words = {{5}, {2, 0}, {3, 1}, {1, 4}};
     }},
    {"all",
     [](SamplingParams& p, StopParams& s) {
       p.temperature = 0.9F, p.top_k = 5, p.top_p = 0.95F, p.min_p = 0.02F, p.frequency_penalty = 0.7F;
       p.logit_bias = {{2, 0.8F}};
       p.bad_words = {{2, 1}, {0, 4}};
       s.min_tokens = 3, s.stop_token_ids = {5};
     }},
};

TEST(SpeculationDistribution, IsTheModels) {
  Sampling sampling;
  std::uint64_t seed = 0;
  for (const Case& one : kCases) {
    SamplingParams params;
    StopParams stop;
    one.set(params, stop);
    const ToyLogits model(static_cast<unsigned>(11 + (&one - kCases)));
    Counts counts;
    for (int done = 0; done < kRuns; done += kChunk) {
      std::vector<SequenceRow> sequences;
      for (int i = 0; i < kChunk; ++i) sequences.push_back(sequence_with(params, stop, ++seed));
      run_chunk(sampling, model, sequences, counts);
    }
    const std::vector<double> shares = expected_shares(model, params, stop);
    EXPECT_LT(surprise(counts.kept, shares), 4.0) << one.name;
    EXPECT_GT(surprise(counts.credulous, shares), 8.0)
        << one.name << ": the test sees wrong draft tokens that are kept";
    EXPECT_GT(counts.num_accepted, kRuns / 10) << one.name;
    EXPECT_LT(counts.num_accepted, kRuns) << one.name;
  }
}

}  // namespace
}  // namespace caudal
