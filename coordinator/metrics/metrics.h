// Prometheus metrics of the whole coordinator: small typed functions in, exposition text out.
// Where a series means the same as in vLLM it has vLLM's name, so that routers, autoscalers and dashboards
// written for it work unchanged; what vLLM has not starts with "caudal:". Any thread may call anything,
// except that the functions of the engine are the engine thread's.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/types.h"
#include "coordinator/request/scheduler_stats.h"

namespace caudal {

using Seconds = std::chrono::duration<double>;

// Transfers between a replica's device and its host memory: now, and since the last sample.
struct TransferSample {
  std::int32_t num_arriving = 0;  // sequences that wait for their blocks
  double host_usage = 0.0;        // share of the host blocks, 0 to 1
  std::int64_t num_sequences_out = 0;
  std::int64_t num_sequences_in = 0;
  std::int64_t num_blocks_out = 0;
  std::int64_t num_blocks_in = 0;
};

// One request that has ended, whatever the reason.
struct RequestSample {
  std::optional<ReplicaId> replica;  // that computed its last tokens; none where there were none
  Seconds duration{};                // from arrival at the gateway to the last token
  std::int64_t num_prompt_tokens = 0;
  std::int64_t num_generated_tokens = 0;
  std::int32_t num_sequences = 1;  // n
  FinishReason reason = FinishReason::kNone;
};

class Metrics {
 public:
  explicit Metrics(const std::string& model_name);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Engine, per replica. A replica is known from its first mention until replica_lost, which sets its gauges
  // to 0 and takes its cache_config_info away.
  void replica_joined(ReplicaId replica, const ReplicaInfo& info);
  void replica_lost(ReplicaId replica);
  void step(ReplicaId replica, const StepSample& sample);
  void load(ReplicaId replica, std::int32_t num_running, double kv_usage);  // sequences; share of blocks, 0 to 1
  void preempted(ReplicaId replica, std::int32_t num_sequences);
  void prefix_cache(ReplicaId replica, std::int64_t num_queried, std::int64_t num_hit);  // tokens
  void queue_time(ReplicaId replica, Seconds waited);
  // Sequences whose KV is on its way back from host memory, the share of that memory in use, and what went out and came
  // back since the last call.
  void transfers(ReplicaId replica, const TransferSample& sample);
  // Engine, whole cluster: the waiting queue is one.
  void waiting(std::int32_t num_sequences);
  void stale_message();                                               // a result of a past epoch or plan was dropped
  void queue_position(std::int32_t num_before);                       // sequences that waited when one more came
  void refused(std::string_view reason, std::int32_t num_sequences);  // of a fixed set of reasons; 0 shows the series
  // Of a configured tenant; "": all others together. `num_generated_tokens` is the total so far.
  void tenant(const std::string& name, std::int32_t num_waiting, std::uint64_t num_generated_tokens);

  // Gateways; any thread. By the replica that computed the tokens.
  void first_token(ReplicaId replica, Seconds since_arrival);
  void next_tokens(ReplicaId replica, Seconds since_previous, std::int32_t num_tokens);  // observed once per token
  void request_finished(const RequestSample& sample);
  void ignored_fields(std::int64_t count);  // of a request: ones that are not known
  void http_request(std::string_view handler, std::string_view method, int status, Seconds duration);

  // Prometheus text format 0.0.4. Costs time proportional to the number of series, never of requests.
  std::string text() const;

 private:
  struct Registry;
  std::unique_ptr<Registry> registry_;
};

}  // namespace caudal
