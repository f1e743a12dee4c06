// speculation_bench: decoding with draft tokens against plain decoding, on text that the model means, in one process
// and without a network. All ways take turns, so that they see the same machine; medians of their rates are compared.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "common/command_line.h"
#include "common/log.h"
#include "common/model_files/model_files.h"
#include "coordinator/scheduler/scheduler.h"
#include "kernels/factory/make_backend.h"
#include "worker/comm/local.h"
#include "worker/runner/runner.h"

namespace caudal::bench {
namespace {

template <typename T>
T or_exit(Result<T> result) {
  if (!result.ok()) {
    fmt::print(stderr, "{}\n", result.error().message);
    std::exit(1);
  }
  return std::move(result).value();
}

Time now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Outcome {
  double tokens_per_s = 0.0;
  std::int64_t num_steps = 0;
  std::int64_t num_drafted = 0;
  std::int64_t num_accepted = 0;
  std::vector<std::vector<TokenId>> answers;
};

struct Workload {
  std::vector<std::vector<TokenId>> prompts;
  std::int32_t max_tokens = 128;
  std::int32_t concurrency = 1;
  float temperature = 0.0F;
  std::vector<TokenId> stop_token_ids;
};

class Engine {
 public:
  Engine(const std::string& model, const std::string& draft)
      : backend_(or_exit(make_backend({}))), group_(std::move(make_local_group(1)[0])) {
    RunnerOptions options;
    options.max_num_sequences = 64;
    options.max_tokens_per_step = 2048;
    options.draft_model_dir = draft;
    options.kv.num_blocks = 4096;
    runner_ = or_exit(Runner::create(*backend_, *group_, model, options));
  }

  Outcome run(const Workload& workload, SpeculativeMode mode) {
    SchedulerConfig config;
    config.speculative = mode;
    config.max_num_sequences = workload.concurrency;
    config.prefix_caching = false;
    Scheduler scheduler(config);
    runner_->clear();
    scheduler.replica_joined(0, epoch_++, runner_->info(), now_us());
    submit(workload, scheduler);
    Outcome outcome;
    outcome.answers.resize(workload.prompts.size());
    const Time start = now_us();
    while (auto plan = scheduler.plan(0, now_us())) {
      ++outcome.num_steps;
      CHECK(scheduler.apply(0, or_exit(runner_->run(*plan)), now_us()));
      take(scheduler.take_events(), outcome);
    }
    std::size_t num_tokens = 0;
    for (const auto& answer : outcome.answers) num_tokens += answer.size();
    outcome.tokens_per_s = static_cast<double>(num_tokens) * 1e6 / static_cast<double>(now_us() - start);
    return outcome;
  }

 private:
  static void submit(const Workload& workload, Scheduler& scheduler) {
    for (std::size_t i = 0; i < workload.prompts.size(); ++i) {
      Request request;
      request.id = i + 1;
      request.prompt = workload.prompts[i];
      request.params.sampling.temperature = workload.temperature;
      request.params.sampling.seed = i;
      request.params.stop.max_tokens = workload.max_tokens;
      request.params.stop.stop_token_ids = workload.stop_token_ids;
      CHECK(scheduler.submit(std::move(request), now_us()) == RejectReason::kNone);
    }
  }
  static void take(const std::vector<TokenEvent>& events, Outcome& outcome) {
    for (const TokenEvent& event : events) {
      outcome.num_drafted += event.num_drafted;
      outcome.num_accepted += event.num_accepted;
      auto& answer = outcome.answers[event.request_id - 1];
      answer.insert(answer.end(), event.tokens.begin(), event.tokens.end());
    }
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Communicator> group_;
  std::unique_ptr<Runner> runner_;
  Epoch epoch_ = 1;
};

struct Way {
  const char* name;
  SpeculativeMode mode;
  std::vector<double> rates = {};
  Outcome last = {};
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void compare(Engine& engine, const char* title, const Workload& workload, int repeats) {
  std::vector<Way> ways = {{"plain", SpeculativeMode::kOff},
                           {"ngram", SpeculativeMode::kNgram},
                           {"draft", SpeculativeMode::kDraft},
                           {"auto", SpeculativeMode::kAuto}};
  std::vector<std::vector<double>> ratios(ways.size());
  for (int i = 0; i < repeats; ++i) {
    for (std::size_t w = 0; w < ways.size(); ++w) {
      ways[w].last = engine.run(workload, ways[w].mode);
      ways[w].rates.push_back(ways[w].last.tokens_per_s);
      ratios[w].push_back(ways[w].rates.back() / ways[0].rates.back());
    }
  }
  for (std::size_t w = 0; w < ways.size(); ++w) {
    const Outcome& last = ways[w].last;
    CHECK_MSG(last.answers == ways[0].last.answers, "speculation changed a token");
    const double accepted = last.num_drafted > 0 ? 100.0 * double(last.num_accepted) / double(last.num_drafted) : 0.0;
    fmt::print(
        "{:10} {:3} streams  {:6} {:9.0f} tokens/s  {:5.2f} x plain  {:6} steps  {:6} drafted  {:3.0f} % right\n",
        title, workload.concurrency, ways[w].name, median(ways[w].rates), median(ratios[w]), last.num_steps,
        last.num_drafted, accepted);
  }
  std::fflush(stdout);
}

std::vector<std::vector<TokenId>> story_prompts(const Tokenizer& tokenizer, std::size_t count) {
  const char* const names[] = {
      "a cat", "a little girl named Lily", "a dog", "a boy named Tom", "a bird", "a fox", "an old man", "a farmer"};
  std::vector<std::vector<TokenId>> prompts;
  for (std::size_t i = 0; i < count; ++i) {
    prompts.push_back(tokenizer.encode(fmt::format("<|begin_of_text|>Once upon a time there was {}", names[i % 8])));
  }
  return prompts;
}

// A text, and its beginning again: the model goes on to copy.
std::vector<std::vector<TokenId>> copy_prompts(Engine& engine, const Workload& stories) {
  const Outcome told = engine.run(stories, SpeculativeMode::kOff);
  std::vector<std::vector<TokenId>> prompts;
  for (std::size_t i = 0; i < stories.prompts.size(); ++i) {
    std::vector<TokenId> text = stories.prompts[i];
    text.insert(text.end(), told.answers[i].begin(), told.answers[i].end());
    std::vector<TokenId> prompt = text;
    prompt.insert(prompt.end(), text.begin(), text.begin() + std::min<std::ptrdiff_t>(16, std::ssize(text)));
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

}  // namespace
}  // namespace caudal::bench

int main(int argc, char** argv) {
  using namespace caudal;
  using namespace caudal::bench;
  std::string model = CAUDAL_SOURCE_DIR "/deploy/demo-model/model";
  std::string draft = CAUDAL_SOURCE_DIR "/deploy/demo-model/draft";
  std::vector<std::int32_t> streams = {1, 2, 4, 8, 16, 32, 64};
  int repeats = 5;
  Workload stories;
  CommandLine line("Speculative against plain decoding");
  line.add("--model", model, "Model directory");
  line.add("--draft-model", draft, "Draft model directory");
  line.add("--streams", streams, "Sequences at a time").separated_by(',');
  line.add("--repeats", repeats, "Turns of each way");
  line.add("--temperature", stories.temperature, "0 = greedy");
  if (const auto code = line.parse_or_say(argc, argv)) return *code;
  log_init("bench", LogLevel::kWarning);

  const auto tokenizer = or_exit(load_tokenizer(model));
  Engine engine(model, draft);
  stories.stop_token_ids = {*tokenizer->token_to_id("<|end_of_text|>")};
  stories.max_tokens = 200;
  for (const std::int32_t concurrency : streams) {
    stories.concurrency = concurrency;
    stories.prompts = story_prompts(*tokenizer, static_cast<std::size_t>(std::max(4, concurrency)));
    compare(engine, "stories", stories, repeats);
    Workload copies = stories;
    copies.prompts = copy_prompts(engine, stories);
    compare(engine, "copies", copies, repeats);
  }
  return 0;
}
