// What a plan says is what is then allocated, to the byte: every rank's weights, workspace, KV blocks and host blocks.
#include "worker/process/plan_report.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/worker/fixture.h"
#include "tests/worker/measured_backend.h"
#include "tests/worker/mixed_family.h"
#include "worker/comm/local.h"
#include "worker/runner/runner.h"

namespace caudal {
namespace {

using testing::HasSubstr;

struct Case {
  Case(const char* fixture, const RunnerOptions& chosen)
      : name(fixture), model(load_fixture(fixture).model_dir), options(chosen) {}
  // A model whose layers differ in what they keep; `dir` gets it.
  Case(const MixedModel& mixed, const TemporaryDir& dir, RunnerOptions chosen)
      : name(mixed.name), model(dir.path()), options(std::move(chosen)) {
    mixed.write_config(dir);
    options.families = mixed_families();
    options.load_format = LoadFormat::kDummy;
  }

  std::string name;
  std::filesystem::path model;
  RunnerOptions options;
};

RunnerOptions options() {
  RunnerOptions options;
  options.max_num_sequences = 4;
  options.max_tokens_per_step = 64;
  options.kv.num_blocks = 24;
  options.host_blocks.bytes = std::size_t{1} << 20;
  return options;
}

// "Rank 0: ... 1234 together; 56 of host memory", for each rank, as measured.
std::vector<std::string> measure(int ranks, const Case& tested) {
  std::vector<std::unique_ptr<Communicator>> groups = make_local_group(ranks);
  std::vector<std::string> lines(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      MeasuredBackend backend;
      Communicator& group = *groups[static_cast<std::size_t>(rank)];
      const auto runner = Runner::create(backend, group, tested.model, tested.options);
      if (!runner) return;
      lines[static_cast<std::size_t>(rank)] =
          fmt::format("{} together; {} of host memory", backend.device_bytes, backend.host_bytes);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return lines;
}

TEST(PlanReport, SaysWhatIsThenAllocated) {
  RunnerOptions rounded = options(), drafted = options(), f32 = options();
  rounded.quantize = StoredFormat::kQ8_0;
  drafted.draft_model_dir = load_fixture("qwen2").model_dir;
  f32.dtype = DTypeChoice::kF32;
  std::vector<Case> cases = {
      {"qwen2", options()}, {"mistral", options()}, {"llama3_1", f32}, {"llama3_2", rounded}, {"qwen2", drafted}};
  const std::vector<MixedModel> mixed = mixed_models();
  const std::vector<TemporaryDir> dirs(mixed.size());
  for (std::size_t i = 0; i < mixed.size(); ++i) {
    cases.emplace_back(mixed[i], dirs[i], options());
    cases.emplace_back(mixed[i], dirs[i], options()).options.draft_model_dir = dirs[i].path();
  }
  for (const Case& tested : cases) {
    for (const int ranks : {1, 2}) {
      if (ranks == 2 && tested.options.quantize) continue;  // it would cut this model through its blocks
      SCOPED_TRACE(fmt::format("{} on {}", tested.name, ranks));
      const auto make = [](int) { return one_core(); };
      const Result<std::string> report = report_plan_of_all(ranks, make, tested.model, tested.options);
      ASSERT_TRUE(report.ok()) << report.error().message;
      const std::vector<std::string> measured = measure(ranks, tested);
      for (std::size_t rank = 0; rank < measured.size(); ++rank) {
        const std::string line = report.value().substr(report.value().find(fmt::format("Rank {}: ", rank)));
        EXPECT_THAT(line.substr(0, line.find('\n')), HasSubstr(" " + measured[rank]));
      }
    }
  }
}

TEST(PlanReport, AFailureIsTheOneThatCameFirst) {
  RunnerOptions too_little = options();
  too_little.assumed.host_bytes = 1000;
  const auto make = [](int) { return one_core(); };
  const Result<std::string> report = report_plan_of_all(2, make, load_fixture("qwen2").model_dir, too_little);
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.error().message, HasSubstr("the model does not fit"));
}

}  // namespace
}  // namespace caudal
