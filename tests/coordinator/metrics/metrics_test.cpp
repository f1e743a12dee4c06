// The exposition text: names, labels and values that routers and dashboards rely on.
#include "coordinator/metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caudal {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Metrics, SpeaksVllmsNames) {
  Metrics metrics("demo");
  ReplicaInfo info;
  info.num_blocks = 100;
  metrics.replica_joined(3, info);
  metrics.step(3, {20'000, 4, 30, 2});
  metrics.step(3, {20'000, 4, 0, 4, 2, 8, {2, 1}});
  metrics.load(3, 4, 0.25);
  metrics.preempted(3, 2);
  metrics.prefix_cache(3, 64, 48);
  metrics.transfers(3, {2, 0.5, 3, 1, 40, 20});
  metrics.waiting(9);
  metrics.queue_position(3);
  metrics.refused("queue_full", 2);
  metrics.refused("deadline", 0);
  metrics.tenant("a", 4, 100);
  metrics.tenant("a", 5, 130);
  metrics.tenant("", 6, 7);
  metrics.first_token(3, Seconds(0.03));
  metrics.next_tokens(3, Seconds(0.06), 3);
  metrics.request_finished({3, Seconds(1.5), 12, 34, 1, FinishReason::kLength});
  metrics.request_finished({std::nullopt, Seconds(0.25), 12, 0, 1, FinishReason::kError});
  metrics.http_request("/v1/completions", "POST", 200, Seconds(0.1));
  const std::string text = metrics.text();
  const char* const lines[] = {
      "vllm:num_requests_running{model_name=\"demo\",engine=\"3\"} 4",
      "vllm:num_requests_waiting{model_name=\"demo\",engine=\"cluster\"} 9",
      "vllm:kv_cache_usage_perc{model_name=\"demo\",engine=\"3\"} 0.25",
      "vllm:gpu_cache_usage_perc{model_name=\"demo\",engine=\"3\"} 0.25",
      "vllm:prompt_tokens_total{model_name=\"demo\",engine=\"3\"} 30",
      "vllm:generation_tokens_total{model_name=\"demo\",engine=\"3\"} 6",
      "vllm:num_preemptions_total{model_name=\"demo\",engine=\"3\"} 2",
      "vllm:num_requests_swapped{model_name=\"demo\",engine=\"3\"} 2",
      "vllm:cpu_cache_usage_perc{model_name=\"demo\",engine=\"3\"} 0.5",
      "caudal:swapped_sequences_total{model_name=\"demo\",direction=\"out\",engine=\"3\"} 3",
      "caudal:swapped_blocks_total{model_name=\"demo\",direction=\"in\",engine=\"3\"} 20",
      "vllm:prefix_cache_hits_total{model_name=\"demo\",engine=\"3\"} 48",
      "vllm:gpu_prefix_cache_queries_total{model_name=\"demo\",engine=\"3\"} 64",
      "vllm:request_success_total{model_name=\"demo\",finished_reason=\"length\"} 1",
      "vllm:request_success_total{model_name=\"demo\",finished_reason=\"stop\"} 0",
      "vllm:time_to_first_token_seconds_bucket{model_name=\"demo\",engine=\"3\",le=\"0.04\"} 1",
      "vllm:inter_token_latency_seconds_count{model_name=\"demo\",engine=\"3\"} 3",
      "vllm:e2e_request_latency_seconds_sum{model_name=\"demo\",engine=\"3\"} 1.5",
      "vllm:e2e_request_latency_seconds_sum{model_name=\"demo\",engine=\"cluster\"} 0.25",
      "caudal:step_time_seconds_count{model_name=\"demo\",engine=\"3\"} 2",
      "caudal:batch_size_sum{model_name=\"demo\",engine=\"3\"} 8",
      "vllm:spec_decode_num_drafts_total{model_name=\"demo\",engine=\"3\"} 2",
      "vllm:spec_decode_num_draft_tokens_total{model_name=\"demo\",engine=\"3\"} 8",
      "vllm:spec_decode_num_accepted_tokens_total{model_name=\"demo\",engine=\"3\"} 3",
      "vllm:spec_decode_num_accepted_tokens_per_pos_total{model_name=\"demo\",engine=\"3\",position=\"1\"} 1",
      "http_requests_total{handler=\"/v1/completions\",method=\"POST\",status=\"200\"} 1",
      "num_gpu_blocks=\"100\"",
      "caudal:queue_position_bucket{model_name=\"demo\",le=\"4\"} 1",
      "caudal:sequences_refused_total{model_name=\"demo\",reason=\"queue_full\"} 2",
      "caudal:sequences_refused_total{model_name=\"demo\",reason=\"deadline\"} 0",
      "caudal:tenant_waiting{model_name=\"demo\",tenant=\"a\"} 5",
      "caudal:tenant_generated_tokens_total{model_name=\"demo\",tenant=\"a\"} 130",
      "caudal:tenant_waiting{model_name=\"demo\",tenant=\"other\"} 6",
  };
  for (const char* line : lines) EXPECT_THAT(text, HasSubstr(line));
}

TEST(Metrics, ALostReplicaHoldsNothing) {
  Metrics metrics("demo");
  metrics.replica_joined(0, {});
  metrics.load(0, 5, 0.5);
  metrics.replica_lost(0);
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("vllm:num_requests_running{model_name=\"demo\",engine=\"0\"} 0"));
  EXPECT_THAT(text, HasSubstr("caudal:replica_up{model_name=\"demo\",engine=\"0\"} 0"));
  EXPECT_THAT(text, Not(HasSubstr("0.5\n")));
  EXPECT_THAT(text, Not(HasSubstr("num_gpu_blocks=")));
}

TEST(Metrics, AReplicaHasOnePool) {
  Metrics metrics("demo");
  ReplicaInfo info;
  for (const std::int32_t num_blocks : {100, 200}) {
    info.num_blocks = num_blocks;
    metrics.replica_joined(0, info);
  }
  EXPECT_THAT(metrics.text(), Not(HasSubstr("num_gpu_blocks=\"100\"")));
  EXPECT_THAT(metrics.text(), HasSubstr("num_gpu_blocks=\"200\""));
  metrics.replica_lost(0);
  metrics.replica_joined(0, info);
  EXPECT_THAT(metrics.text(), HasSubstr("num_gpu_blocks=\"200\""));
}

}  // namespace
}  // namespace caudal
