// Engine: the loop that turns requests into plans and results into tokens. One thread owns the EngineCore,
// without locks; everything reaches it through one bounded queue: requests and cancels from the gateways,
// messages from the link. A turn is: take what came, apply it, plan every replica, hand out events.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>

#include "common/queue.h"
#include "coordinator/cluster/worker_link.h"
#include "coordinator/engine/engine_core.h"
#include "coordinator/engine/load_monitor.h"
#include "coordinator/metrics/metrics.h"
#include "coordinator/request/request_service.h"

namespace caudal {

class Engine final : public RequestService, private EngineCore::Outlet {
 public:
  // `metrics` outlives the engine.
  Engine(const EngineConfig& config, std::unique_ptr<WorkerLink> link, Metrics& metrics);
  // Tells the workers to go and waits until that is sent. Unfinished sequences end with kAbort.
  ~Engine() override;

  const std::string& control_endpoint() const { return link_->endpoint(); }

  Result<RequestId> submit(Request request, std::shared_ptr<TokenSink> sink) override;
  void cancel(RequestId id) override;
  void cancel(RequestId id, std::int32_t sequence_index) override;
  ServiceStatus status() const override;
  std::int32_t max_context_tokens(ModelId model) const override { return max_context_tokens_.at(model); }
  std::shared_ptr<const LoadReport> load() const override { return load_.get(); }

  // Ends everything that waits or runs, with a last event (kAbort) each: the server is about to stop.
  void abort_all();

 private:
  struct Submit {
    Request request;
    std::shared_ptr<TokenSink> sink;
  };
  struct Cancel {
    RequestId id;
    std::optional<std::int32_t> sequence_index;  // empty: all of them
  };
  struct AbortAll {};
  using Input = std::variant<Submit, Cancel, AbortAll, LinkEvent>;

  void run(const std::stop_token& stop);
  void take(Submit& input, Time now);
  void take(Cancel& input, Time now);
  void take(AbortAll& input, Time now);
  void take(LinkEvent& input, Time now);
  void look_at_members(Time now);
  void publish_status(Time now);
  void publish_load(Time now);
  void publish_metrics(const LoadReport& report);

  void send(std::vector<Peer> peers, ToWorker message) override;
  void on_joined(const Cluster::Joined& joined) override;
  void on_lost(const Cluster::Lost& lost) override;
  void on_step(ReplicaId replica, const StepSample& sample) override { metrics_.step(replica, sample); }
  void on_stale_result() override { metrics_.stale_message(); }
  void on_first_plan(ReplicaId replica, Time queue_us) override;
  void on_refused(RejectReason reason) override;

  const Time patience_us_;
  Metrics& metrics_;
  EngineCore core_;
  std::unordered_map<ReplicaId, std::pair<ModelId, std::int32_t>> context_tokens_;  // of the replicas that are up
  Time next_look_ = 0;                                                              // at every replica
  LoadMonitor monitor_;
  std::unordered_map<ReplicaId, ReplicaStats> published_;  // totals that are already in the metrics

  std::atomic<RequestId> next_request_id_{1};
  std::atomic<Time> last_turn_{0};
  std::atomic<bool> ready_{false};
  std::atomic<std::int32_t> num_replicas_{0};
  std::atomic<std::int32_t> num_running_{0};
  std::atomic<std::int32_t> num_waiting_{0};
  std::vector<std::atomic<std::int32_t>> max_context_tokens_;  // by model

  Published<LoadReport> load_;
  Queue<Input> inputs_;
  std::unique_ptr<WorkerLink> link_;
  std::jthread thread_;
};

}  // namespace caudal
