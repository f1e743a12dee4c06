// Declares every series once, in Registry, and updates it. Engine-side series carry the label `engine`
// (the replica id), as vLLM's do; the waiting queue is cluster-wide and says so with engine="cluster".
#include "coordinator/metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace caudal {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using Buckets = Histogram::BucketBoundaries;

// vLLM's boundaries, so that quantiles of both are comparable; the first two of kTokenGap are ours, because
// a small model on one machine is faster than vLLM's first bucket.
const Buckets kFirstToken{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,  0.25,  0.5,   0.75,
                          1.0,   2.5,   5.0,  7.5,  10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0};
const Buckets kTokenGap{0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,  0.15, 0.2,  0.3, 0.4,
                        0.5,   0.75,  1.0,  2.5,   5.0,  7.5,   10.0, 20.0, 40.0, 80.0};
const Buckets kRequestTime{0.3,  0.5,  0.8,  1.0,  1.5,   2.0,   2.5,   5.0,   10.0,   15.0,  20.0,
                           30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};
const Buckets kStepTime{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                        0.05,   0.1,     0.25,   0.5,   1.0,    2.5,   5.0,  10.0};
const Buckets kStepTokens{1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
const Buckets kBatch{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
const Buckets kRequestTokens{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000};
const Buckets kPositions{0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};
const Buckets kSequences{1, 2, 5, 10, 20};

constexpr std::pair<FinishReason, const char*> kReasons[] = {{FinishReason::kStop, "stop"},
                                                             {FinishReason::kLength, "length"},
                                                             {FinishReason::kAbort, "abort"},
                                                             {FinishReason::kError, "error"}};

// The series of one replica, found once and kept: a step must not look labels up.
struct ReplicaSeries {
  Histogram& queue_time;
  Gauge& running;
  Gauge& kv_usage;
  Gauge& kv_usage_old_name;
  Counter& prompt_tokens;
  Counter& generated_tokens;
  Counter& preemptions;
  Gauge& swapped;
  Gauge& host_usage;
  Counter& sequences_out;
  Counter& sequences_in;
  Counter& blocks_out;
  Counter& blocks_in;
  Counter& prefix_queries;
  Counter& prefix_queries_old_name;
  Counter& prefix_hits;
  Counter& prefix_hits_old_name;
  Histogram& step_time;
  Histogram& step_tokens;
  Histogram& batch;
  Counter& drafts;
  Counter& draft_tokens;
  Counter& accepted_tokens;
  Gauge* cache_config;  // while the replica is up: its labels say how large the pool is, and a rejoin may change it
};

// What the gateways see of a replica; found when it is first seen.
struct LatencySeries {
  std::once_flag found;
  Histogram* first_token = nullptr;
  Histogram* token_gap = nullptr;
  Histogram* end_to_end = nullptr;
};

}  // namespace

struct Metrics::Registry {
  explicit Registry(const std::string& model_name);

  Family<Gauge>& gauges(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Labels({{"model_name", model}}).Register(registry);
  }
  Family<Counter>& counters(const char* name, const char* help, bool with_model = true) {
    const Labels labels = with_model ? Labels{{"model_name", model}} : Labels{};
    return prometheus::BuildCounter().Name(name).Help(help).Labels(labels).Register(registry);
  }
  Family<Histogram>& histograms(const char* name, const char* help, bool with_model = true) {
    const Labels labels = with_model ? Labels{{"model_name", model}} : Labels{};
    return prometheus::BuildHistogram().Name(name).Help(help).Labels(labels).Register(registry);
  }
  Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return histograms(name, help).Add({}, buckets);
  }
  ReplicaSeries& of(ReplicaId replica);
  const LatencySeries& latency_of(ReplicaId replica);
  void remove_cache_config(ReplicaId replica);

  const std::string model;
  prometheus::Registry registry;

  // By replica.
  Family<Gauge>& running = gauges("vllm:num_requests_running", "Sequences in the running batch.");
  Family<Gauge>& kv_usage = gauges("vllm:kv_cache_usage_perc", "Share of KV blocks in use, 0 to 1.");
  Family<Gauge>& kv_usage_old_name = gauges("vllm:gpu_cache_usage_perc", "The older name of vllm:kv_cache_usage_perc.");
  Family<Gauge>& cache_config =
      gauges("vllm:cache_config_info", "The KV pool: block size in tokens and blocks; value 1.");
  Family<Counter>& prompt_tokens = counters("vllm:prompt_tokens_total", "Prompt tokens computed.");
  Family<Counter>& generated_tokens = counters("vllm:generation_tokens_total", "Tokens generated.");
  Family<Counter>& preemptions = counters("vllm:num_preemptions_total", "Sequences sent back to the queue.");
  Family<Gauge>& swapped =
      gauges("vllm:num_requests_swapped", "Sequences whose KV is on its way back from host memory.");
  Family<Gauge>& host_usage =
      gauges("vllm:cpu_cache_usage_perc", "Share of the host memory's KV blocks in use, 0 to 1.");
  Family<Counter>& swapped_sequences =
      counters("caudal:swapped_sequences_total",
               "Preempted sequences that kept KV in host memory (out), and sequences that found some there (in).");
  Family<Counter>& swapped_blocks =
      counters("caudal:swapped_blocks_total", "KV blocks copied to host memory (out), and back (in).");
  Family<Counter>& prefix_queries =
      counters("vllm:prefix_cache_queries_total", "Tokens looked up in the prefix cache.");
  Family<Counter>& prefix_queries_old_name =
      counters("vllm:gpu_prefix_cache_queries_total", "The older name of vllm:prefix_cache_queries_total.");
  Family<Counter>& prefix_hits = counters("vllm:prefix_cache_hits_total", "Tokens found in the prefix cache.");
  Family<Counter>& prefix_hits_old_name =
      counters("vllm:gpu_prefix_cache_hits_total", "The older name of vllm:prefix_cache_hits_total.");
  Family<Histogram>& step_time =
      histograms("caudal:step_time_seconds", "Compute time of a step, as its worker measured it.");
  Family<Histogram>& step_tokens = histograms("vllm:iteration_tokens_total", "Tokens computed per step.");
  Family<Histogram>& batch = histograms("caudal:batch_size", "Sequences per step.");
  Family<Counter>& drafts =
      counters("vllm:spec_decode_num_drafts_total", "Times that a sequence had draft tokens in a step.");
  Family<Counter>& draft_tokens = counters("vllm:spec_decode_num_draft_tokens_total", "Draft tokens.");
  Family<Counter>& accepted_tokens = counters("vllm:spec_decode_num_accepted_tokens_total", "Draft tokens accepted.");
  Family<Counter>& accepted_at =
      counters("vllm:spec_decode_num_accepted_tokens_per_pos_total", "Draft tokens accepted, by place in the draft.");
  Family<Gauge>& replica_up = gauges("caudal:replica_up", "1 while the replica serves.");

  Family<Histogram>& queue_time = histograms("vllm:request_queue_time_seconds", "From submission to the first plan.");
  Family<Histogram>& first_token = histograms("vllm:time_to_first_token_seconds", "From arrival to the first token.");
  Family<Histogram>& token_gap = histograms("vllm:inter_token_latency_seconds", "Between tokens of a sequence.");
  Family<Histogram>& end_to_end = histograms("vllm:e2e_request_latency_seconds", "From arrival to the last token.");

  // Of the cluster.
  Counter& stale_messages =
      counters("caudal:stale_messages_total", "Results of past epochs or plans, dropped.").Add({});
  Gauge& waiting =
      gauges("vllm:num_requests_waiting", "Sequences in the cluster's waiting queue.").Add({{"engine", "cluster"}});
  Histogram& request_prompt = histogram("vllm:request_prompt_tokens", "Prompt tokens per request.", kRequestTokens);
  Histogram& request_output =
      histogram("vllm:request_generation_tokens", "Generated tokens per request.", kRequestTokens);
  Histogram& request_n = histogram("vllm:request_params_n", "Sequences asked for per request.", kSequences);
  Histogram& queue_position =
      histogram("caudal:queue_position", "Sequences that waited already when a request came.", kPositions);
  Family<Counter>& refused =
      counters("caudal:sequences_refused_total", "Sequences ended without an answer, by reason.");
  Family<Gauge>& tenant_waiting =
      gauges("caudal:tenant_waiting", "Waiting sequences of a configured tenant; of all others: \"other\".");
  Family<Counter>& tenant_tokens =
      counters("caudal:tenant_generated_tokens_total", "Tokens generated for a configured tenant; \"other\" as above.");
  Family<Counter>& finished = counters("vllm:request_success_total", "Requests ended, by reason.");
  Counter& ignored_fields =
      counters("caudal:ignored_request_fields_total", "Fields of requests that are not known, ignored.").Add({});
  Family<Counter>& http_requests = counters("http_requests_total", "HTTP requests answered.", false);
  Family<Histogram>& http_time =
      histograms("http_request_duration_seconds", "From header read to answer written.", false);

  std::map<ReplicaId, ReplicaSeries> replicas;  // engine thread
  std::array<LatencySeries, 4096> latencies;    // by replica, the last for all beyond; any thread
};

Metrics::Registry::Registry(const std::string& model_name) : model(model_name) {
  for (const auto& [reason, name] : kReasons) finished.Add({{"finished_reason", name}});  // visible from 0
}

ReplicaSeries& Metrics::Registry::of(ReplicaId replica) {
  const auto known = replicas.find(replica);
  if (known != replicas.end()) return known->second;
  const Labels labels{{"engine", std::to_string(replica)}};
  const Labels out{{"engine", std::to_string(replica)}, {"direction", "out"}};
  const Labels in{{"engine", std::to_string(replica)}, {"direction", "in"}};
  ReplicaSeries series{queue_time.Add(labels, kRequestTime),
                       running.Add(labels),
                       kv_usage.Add(labels),
                       kv_usage_old_name.Add(labels),
                       prompt_tokens.Add(labels),
                       generated_tokens.Add(labels),
                       preemptions.Add(labels),
                       swapped.Add(labels),
                       host_usage.Add(labels),
                       swapped_sequences.Add(out),
                       swapped_sequences.Add(in),
                       swapped_blocks.Add(out),
                       swapped_blocks.Add(in),
                       prefix_queries.Add(labels),
                       prefix_queries_old_name.Add(labels),
                       prefix_hits.Add(labels),
                       prefix_hits_old_name.Add(labels),
                       step_time.Add(labels, kStepTime),
                       step_tokens.Add(labels, kStepTokens),
                       batch.Add(labels, kBatch),
                       drafts.Add(labels),
                       draft_tokens.Add(labels),
                       accepted_tokens.Add(labels),
                       nullptr};
  return replicas.emplace(replica, series).first->second;
}

const LatencySeries& Metrics::Registry::latency_of(ReplicaId replica) {
  const std::size_t place = std::min<std::size_t>(replica, latencies.size() - 1);
  LatencySeries& series = latencies[place];
  std::call_once(series.found, [&] {
    const Labels labels{{"engine", std::to_string(place)}};
    series.first_token = &first_token.Add(labels, kFirstToken);
    series.token_gap = &token_gap.Add(labels, kTokenGap);
    series.end_to_end = &end_to_end.Add(labels, kRequestTime);
  });
  return series;
}

void Metrics::Registry::remove_cache_config(ReplicaId replica) {
  if (Gauge* known = std::exchange(of(replica).cache_config, nullptr)) cache_config.Remove(known);
}

Metrics::Metrics(const std::string& model_name) : registry_(std::make_unique<Registry>(model_name)) {}
Metrics::~Metrics() = default;

void Metrics::replica_joined(ReplicaId replica, const ReplicaInfo& info) {
  const std::string engine = std::to_string(replica);
  registry_->replica_up.Add({{"engine", engine}}).Set(1);
  registry_->remove_cache_config(replica);
  Gauge& config = registry_->cache_config.Add({{"engine", engine},
                                               {"block_size", std::to_string(kBlockSize)},
                                               {"num_gpu_blocks", std::to_string(info.num_blocks)},
                                               {"tensor_parallel_size", std::to_string(info.topology.tensor)}});
  config.Set(1);
  registry_->of(replica).cache_config = &config;
}

void Metrics::replica_lost(ReplicaId replica) {
  load(replica, 0, 0.0);
  transfers(replica, {});
  registry_->remove_cache_config(replica);
  registry_->replica_up.Add({{"engine", std::to_string(replica)}}).Set(0);
}

void Metrics::step(ReplicaId replica, const StepSample& sample) {
  ReplicaSeries& series = registry_->of(replica);
  series.step_time.Observe(Seconds(std::chrono::microseconds(sample.compute_us)).count());
  series.step_tokens.Observe(sample.num_prompt_tokens + sample.num_generated_tokens);
  series.batch.Observe(sample.num_sequences);
  series.prompt_tokens.Increment(sample.num_prompt_tokens);
  series.generated_tokens.Increment(sample.num_generated_tokens);
  if (sample.num_drafts == 0) return;
  series.drafts.Increment(sample.num_drafts);
  series.draft_tokens.Increment(sample.num_draft_tokens);
  for (std::size_t place = 0; place < sample.num_accepted_at.size() && sample.num_accepted_at[place] > 0; ++place) {
    series.accepted_tokens.Increment(sample.num_accepted_at[place]);
    registry_->accepted_at.Add({{"engine", std::to_string(replica)}, {"position", std::to_string(place)}})
        .Increment(sample.num_accepted_at[place]);
  }
}

void Metrics::load(ReplicaId replica, std::int32_t num_running, double kv_usage) {
  ReplicaSeries& series = registry_->of(replica);
  series.running.Set(num_running);
  series.kv_usage.Set(kv_usage);
  series.kv_usage_old_name.Set(kv_usage);
}

void Metrics::preempted(ReplicaId replica, std::int32_t num_sequences) {
  registry_->of(replica).preemptions.Increment(num_sequences);
}

void Metrics::transfers(ReplicaId replica, const TransferSample& sample) {
  ReplicaSeries& series = registry_->of(replica);
  series.swapped.Set(sample.num_arriving);
  series.host_usage.Set(sample.host_usage);
  series.sequences_out.Increment(static_cast<double>(sample.num_sequences_out));
  series.sequences_in.Increment(static_cast<double>(sample.num_sequences_in));
  series.blocks_out.Increment(static_cast<double>(sample.num_blocks_out));
  series.blocks_in.Increment(static_cast<double>(sample.num_blocks_in));
}

void Metrics::prefix_cache(ReplicaId replica, std::int64_t num_queried, std::int64_t num_hit) {
  ReplicaSeries& series = registry_->of(replica);
  series.prefix_queries.Increment(static_cast<double>(num_queried));
  series.prefix_queries_old_name.Increment(static_cast<double>(num_queried));
  series.prefix_hits.Increment(static_cast<double>(num_hit));
  series.prefix_hits_old_name.Increment(static_cast<double>(num_hit));
}

void Metrics::waiting(std::int32_t num_sequences) { registry_->waiting.Set(num_sequences); }

void Metrics::stale_message() { registry_->stale_messages.Increment(); }

void Metrics::queue_time(ReplicaId replica, Seconds waited) {
  registry_->of(replica).queue_time.Observe(waited.count());
}

void Metrics::queue_position(std::int32_t num_before) { registry_->queue_position.Observe(num_before); }

void Metrics::refused(std::string_view reason, std::int32_t num_sequences) {
  registry_->refused.Add({{"reason", std::string(reason)}}).Increment(num_sequences);
}

void Metrics::tenant(const std::string& name, std::int32_t num_waiting, std::uint64_t num_generated_tokens) {
  const Labels labels{{"tenant", name.empty() ? "other" : name}};
  registry_->tenant_waiting.Add(labels).Set(num_waiting);
  Counter& tokens = registry_->tenant_tokens.Add(labels);
  tokens.Increment(std::max(static_cast<double>(num_generated_tokens) - tokens.Value(), 0.0));
}

void Metrics::first_token(ReplicaId replica, Seconds since_arrival) {
  registry_->latency_of(replica).first_token->Observe(since_arrival.count());
}

void Metrics::next_tokens(ReplicaId replica, Seconds since_previous, std::int32_t num_tokens) {
  Histogram& gap = *registry_->latency_of(replica).token_gap;
  for (std::int32_t i = 0; i < num_tokens; ++i) gap.Observe(since_previous.count() / num_tokens);
}

void Metrics::request_finished(const RequestSample& sample) {
  for (const auto& [reason, name] : kReasons) {
    if (reason == sample.reason) registry_->finished.Add({{"finished_reason", name}}).Increment();
  }
  Histogram& end_to_end = sample.replica ? *registry_->latency_of(*sample.replica).end_to_end
                                         : registry_->end_to_end.Add({{"engine", "cluster"}}, kRequestTime);
  end_to_end.Observe(sample.duration.count());
  registry_->request_prompt.Observe(static_cast<double>(sample.num_prompt_tokens));
  registry_->request_output.Observe(static_cast<double>(sample.num_generated_tokens));
  registry_->request_n.Observe(sample.num_sequences);
}

void Metrics::ignored_fields(std::int64_t count) { registry_->ignored_fields.Increment(static_cast<double>(count)); }

void Metrics::http_request(std::string_view handler, std::string_view method, int status, Seconds duration) {
  const std::string route(handler);
  registry_->http_requests
      .Add({{"handler", route}, {"method", std::string(method)}, {"status", std::to_string(status)}})
      .Increment();
  registry_->http_time.Add({{"handler", route}}, kRequestTime).Observe(duration.count());
}

std::string Metrics::text() const { return prometheus::TextSerializer().Serialize(registry_->registry.Collect()); }

}  // namespace caudal
