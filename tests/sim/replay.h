// Replay: the inputs of an EngineCore as a log, the digest of everything it answers, and the log played to
// another core: same inputs at the same times, same answers (S18).
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "coordinator/engine/engine_core.h"
#include "tests/sim/plan_checker.h"

namespace caudal::sim {

struct CancelInput {
  RequestId id;
  std::optional<std::int32_t> index;  // empty: all sequences
};
struct PeerInput {
  Peer peer;
  std::optional<FromWorker> message;  // empty: the link is gone
};
using Input = std::variant<Request, CancelInput, PeerInput>;

struct Turn {
  Time now;
  std::vector<Input> inputs;
};

// Digest of all that leaves a core.
class OutputDigest final : public EngineCore::Outlet {
 public:
  void send(std::vector<Peer> peers, ToWorker message) override {
    add(peers.size(), message.index());
    if (const auto* plan = std::get_if<StepPlan>(&message)) sum_ = mix(sum_, digest(*plan));
  }
  void on_joined(const Cluster::Joined& joined) override { add(joined.id, joined.epoch); }
  void on_lost(const Cluster::Lost& lost) override { add(lost.id, 1); }
  void on_step(ReplicaId replica, const StepSample& sample) override { add(replica, sample.num_generated_tokens); }
  void on_stale_result() override { add(0, 2); }
  void on_first_plan(ReplicaId replica, Time queue_us) override { add(queue_us, 3 + 8 * replica); }
  void on_event(const TokenEvent& event) {
    add(event.request_id, static_cast<std::uint64_t>(event.finish_reason));
    for (const TokenId token : event.tokens) add(event.sequence_index, token);
  }

  std::uint64_t sum() const { return sum_; }

 private:
  void add(std::uint64_t a, std::uint64_t b) { sum_ = mix(mix(sum_, a), b); }

  std::uint64_t sum_ = 0;
};

inline std::uint64_t replay(const EngineConfig& config, const std::vector<Turn>& turns) {
  struct Sink final : TokenSink {
    explicit Sink(OutputDigest& digest) : digest_(digest) {}
    void on_event(TokenEvent event) override { digest_.on_event(event); }
    OutputDigest& digest_;
  };
  OutputDigest output;
  EngineCore core(config, output);
  const auto sink = std::make_shared<Sink>(output);
  for (const Turn& turn : turns) {
    for (const Input& input : turn.inputs) {
      if (const auto* request = std::get_if<Request>(&input)) {
        core.submit(*request, sink, turn.now);
      } else if (const auto* cancel = std::get_if<CancelInput>(&input)) {
        if (cancel->index) core.cancel(cancel->id, *cancel->index, turn.now);
        if (!cancel->index) core.cancel(cancel->id, turn.now);
      } else {
        const PeerInput& from = std::get<PeerInput>(input);
        if (from.message) core.take(from.peer, *from.message, turn.now);
        if (!from.message) core.take_peer_gone(from.peer, turn.now);
      }
    }
    core.finish_turn(turn.now);
  }
  return output.sum();
}

}  // namespace caudal::sim
