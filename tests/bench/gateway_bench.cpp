// gateway_bench: what a token costs the I/O thread of its stream, part by part, with 1,000 streams and the bundled
// model's tokenizer; beside it what handing such a piece of work to the work pool and back would cost. CPU time, so
// that other programs hardly matter; medians of several turns.
#include <fmt/core.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "common/command_line.h"
#include "common/json/strict_json.h"
#include "coordinator/gateway/generation/gateway_models.h"
#include "coordinator/gateway/generation/generation.h"
#include "coordinator/gateway/generation/work_pool.h"
#include "coordinator/gateway/http/http_response.h"
#include "coordinator/gateway/http/openai_response.h"
#include "coordinator/metrics/metrics.h"
#include "coordinator/request/load_report.h"
#include "coordinator/request/request_service.h"

namespace caudal {
namespace {

constexpr int kTurns = 9;

double cpu_us(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
}

// An engine whose tokens are handed out by the benchmark.
class SilentService final : public RequestService {
 public:
  Result<RequestId> submit(Request, std::shared_ptr<TokenSink> sink) override {
    sinks_.push_back(std::move(sink));
    return static_cast<RequestId>(sinks_.size());
  }
  void cancel(RequestId) override {}
  void cancel(RequestId, std::int32_t) override {}
  ServiceStatus status() const override { return {}; }
  std::int32_t max_context_tokens(ModelId) const override { return 1 << 20; }
  std::shared_ptr<const LoadReport> load() const override { return std::make_shared<LoadReport>(); }

  void send_all(TokenId token, std::int32_t num_logprobs) {
    TokenEvent event;
    event.tokens = {token};
    if (num_logprobs >= 0) {
      event.logprobs.resize(1);
      for (TokenId i = 0; i <= num_logprobs; ++i) event.logprobs[0].push_back({token + i, -1.5F});
    }
    for (std::size_t i = 0; i < sinks_.size(); ++i) {
      event.request_id = static_cast<RequestId>(i + 1);
      sinks_[i]->on_event(event);
    }
  }

 private:
  std::vector<std::shared_ptr<TokenSink>> sinks_;
};

struct Stream {
  std::unique_ptr<Generation> generation;
  std::unique_ptr<OpenAiResponse> response;
  std::vector<ChoiceDelta> deltas;
};

struct Costs {
  double text = 0.0;   // detokenize, stop strings, measure
  double write = 0.0;  // the events of the stream as bytes
};

// Microseconds per token, of one token for each stream.
Costs one_step(std::vector<Stream>& streams, std::string& out) {
  const double start = cpu_us(CLOCK_THREAD_CPUTIME_ID);
  for (Stream& stream : streams) stream.deltas = stream.generation->advance().deltas;
  const double between = cpu_us(CLOCK_THREAD_CPUTIME_ID);
  for (Stream& stream : streams) {
    std::string events;
    for (const ChoiceDelta& delta : stream.deltas) stream.response->append_events(delta, events);
    out.clear();
    append_http_chunk(events, out);
  }
  const double end = cpu_us(CLOCK_THREAD_CPUTIME_ID);
  const auto count = static_cast<double>(streams.size());
  return {.text = (between - start) / count, .write = (end - between) / count};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void measure(const GatewayModels& models, int num_streams, const std::string& name, const std::string& body,
             std::int32_t num_logprobs) {
  SilentService service;
  Metrics metrics("bench");
  const GenerationContext context{models, service, metrics};
  std::vector<Stream> streams(static_cast<std::size_t>(num_streams));
  for (Stream& stream : streams) {
    Intake intake = take_request(context, Endpoint::kChat, parse_strict_json(body), Generation::Clock::now());
    CHECK_MSG(!intake.error && !intake.generation->start([] {}), "the request cannot start");
    stream.generation = std::move(intake.generation);
    stream.response =
        std::make_unique<OpenAiResponse>(stream.generation->request(), stream.generation->model(), "0", 0);
  }
  std::vector<double> text;
  std::vector<double> write;
  std::string out;
  for (int turn = 0; turn < kTurns; ++turn) {
    Costs sum;
    constexpr int kSteps = 20;
    for (int step = 0; step < kSteps; ++step) {
      service.send_all(300 + turn * kSteps + step, num_logprobs);
      const Costs costs = one_step(streams, out);
      sum.text += costs.text / kSteps;
      sum.write += costs.write / kSteps;
    }
    text.push_back(sum.text);
    write.push_back(sum.write);
  }
  fmt::print("{:24} {:8.2f} us text  {:8.2f} us events\n", name, median(text), median(write));
}

// To the pool and back without any work, `num_at_once` times together: CPU time of all threads.
void measure_pool(const std::string& name, int num_at_once) {
  WorkPool pool(2, 4096);
  std::vector<double> costs;
  for (int turn = 0; turn < kTurns; ++turn) {
    Queue<int> back(4096);
    const double start = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
    constexpr int kJobs = 4000;
    for (int job = 0; job < kJobs; job += num_at_once) {
      for (int i = 0; i < num_at_once; ++i) CHECK(pool.try_submit([&back] { back.push(1); }));
      for (int i = 0; i < num_at_once; ++i) back.pop();
    }
    costs.push_back((cpu_us(CLOCK_PROCESS_CPUTIME_ID) - start) / kJobs);
  }
  fmt::print("{:24} {:8.2f} us\n", name, median(costs));
}

}  // namespace
}  // namespace caudal

int main(int argc, char** argv) {
  std::string model_dir = CAUDAL_SOURCE_DIR "/deploy/demo-model/model";
  int num_streams = 1000;
  caudal::CommandLine line("What a token costs the gateway's I/O threads");
  line.add("--model", model_dir, "Directory with the tokenizer").existing_path();
  line.add("--streams", num_streams, "Streams at a time").within(1, 4000);
  if (const auto code = line.parse_or_say(argc, argv)) return *code;
  auto context = caudal::load_model_context(model_dir, "bench");
  if (!context) return line.refuse(context.error().message);
  std::vector<caudal::ModelContext> contexts;
  contexts.push_back(std::move(context).value());
  const caudal::GatewayModels models(caudal::ModelRegistry({.name = "bench"}), std::move(contexts));
  const std::string start = R"({"stream":true,"ignore_eos":true,"messages":[{"role":"user",)";
  const std::string plain = start + R"("content":"Hello"}])";
  caudal::measure(models, num_streams, "plain", plain + "}", -1);
  caudal::measure(models, num_streams, "4 stop strings", plain + R"(,"stop":["never","such","as","these"]})", -1);
  caudal::measure(models, num_streams, "20 top_logprobs", plain + R"(,"logprobs":true,"top_logprobs":20})", 20);
  caudal::measure_pool("to the pool, singly", 1);
  caudal::measure_pool("to the pool, 1,000", 1000);
}
