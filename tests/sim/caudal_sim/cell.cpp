#include "tests/sim/caudal_sim/cell.h"

#include <fmt/core.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <queue>

#include "common/check.h"
#include "tests/sim/caudal_sim/instant_table.h"
#include "tests/sim/toy_model.h"

namespace caudal::sim {

namespace {

// CPU time of this thread: what a busy neighbour takes does not count.
double cpu_now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

class Cell final : private EngineCore::Outlet {
 public:
  Cell(const CellOptions& options, const std::vector<TracedRequest>& requests)
      : options_(options), requests_(requests), core_(options.engine, *this) {
    report_.requests.resize(requests.size());
    for (std::int32_t i = 0; i < options.num_replicas; ++i) {
      core_.take(std::to_string(i),
                 Register{.replica_key = fmt::format("{:06}", i), .info = options.replica, .build_version = {}}, 0);
    }
  }

  CellReport run(double drain_s) {
    const Time last = requests_.empty() ? 0 : time_of(requests_.back());
    const Time limit = last + static_cast<Time>(drain_s * 1e6);
    while (now_ < limit && (next_request_ < requests_.size() || !answers_.empty())) turn();
    for (const ReplicaId id : core_.cluster().replicas()) {
      const ReplicaStats stats = core_.scheduler().replica_stats(id);
      report_.num_tokens_queried += stats.num_prefix_tokens_queried;
      report_.num_tokens_hit += stats.num_prefix_tokens_hit;
    }
    report_.num_preemptions = core_.scheduler().stats().num_preemptions;
    report_.end = now_;
    return std::move(report_);
  }

 private:
  struct Answer {
    Time at;
    std::uint64_t order;
    Peer peer;
    StepResult result;
    bool operator<(const Answer& other) const { return std::pair(at, order) > std::pair(other.at, other.order); }
  };
  struct Sink final : TokenSink {
    Sink(Cell& cell, std::size_t index) : cell_(cell), index_(index) {}
    void on_event(TokenEvent event) override {
      ServedRequest& served = cell_.report_.requests[index_];
      if (event.tokens.empty()) return;
      if (served.num_tokens == 0) cell_.first_tokens_.push_back(index_);
      served.num_tokens += static_cast<std::int32_t>(event.tokens.size());
      served.finished = event.finish_reason == FinishReason::kLength;
      cell_.last_tokens_.push_back(index_);
    }
    Cell& cell_;
    std::size_t index_;
  };
  struct Timed {
    explicit Timed(std::int32_t num_slots) : replica(num_slots) {}
    InstantTable replica;
    Time free_at = 0;
  };

  static Time time_of(const TracedRequest& request) { return static_cast<Time>(request.arrival_s * 1e6); }

  // Everything that has come by the time the coordinator is free again is one turn.
  void turn() {
    Time next = answers_.empty() ? time_of(requests_[next_request_]) : answers_.top().at;
    if (next_request_ < requests_.size()) next = std::min(next, time_of(requests_[next_request_]));
    now_ = std::max(free_at_, next);
    std::vector<Request> arrived;
    std::vector<Answer> answered;
    while (next_request_ < requests_.size() && time_of(requests_[next_request_]) <= now_) {
      arrived.push_back(make_request(next_request_++));
    }
    while (!answers_.empty() && answers_.top().at <= now_) {
      answered.push_back(answers_.top());
      answers_.pop();
    }
    const double start = cpu_now();
    for (Request& request : arrived) {
      const std::size_t index = request.id - 1;
      core_.submit(std::move(request), std::make_shared<Sink>(*this, index), now_);
    }
    for (Answer& answer : answered) core_.take(answer.peer, std::move(answer.result), now_);
    core_.finish_turn(now_);
    const double seconds = cpu_now() - start;
    report_.coordinator_s += seconds;
    ++report_.num_turns;
    free_at_ = now_ + (options_.turn_us > 0 ? options_.turn_us : static_cast<Time>(std::ceil(seconds * 1e6)));
    hand_out();
  }

  // The turn's plans and tokens leave when it ends.
  void hand_out() {
    for (const std::size_t index : first_tokens_) report_.requests[index].first_token = free_at_;
    for (const std::size_t index : last_tokens_) report_.requests[index].last_token = free_at_;
    first_tokens_.clear();
    last_tokens_.clear();
    for (auto& [peer, plan] : plans_) {
      Timed& timed = replicas_.try_emplace(peer, options_.replica.max_num_sequences).first->second;
      StepWork work;
      StepResult result = timed.replica.run(plan, work);
      report_.num_steps += 1;
      report_.num_sequences_in_steps += plan.scheduled.size();
      const auto step = static_cast<Time>(std::ceil(options_.step_us(work)));
      result.compute_us = step;
      timed.free_at = std::max(timed.free_at, free_at_ + options_.network_us) + step;
      report_.replica_busy_s += 1e-6 * static_cast<double>(step);
      answers_.push({timed.free_at + options_.network_us, ++last_order_, peer, std::move(result)});
    }
    plans_.clear();
  }

  Request make_request(std::size_t index) {
    const TracedRequest& traced = requests_[index];
    Request request;
    request.id = index + 1;
    request.arrival = report_.requests[index].arrival = time_of(traced);
    request.prompt.reserve(static_cast<std::size_t>(traced.num_prompt_tokens));
    for (std::int32_t i = 0; i < traced.num_prompt_tokens; ++i) {
      const bool shared = traced.group >= 0 && i < options_.shared_tokens;
      const std::uint64_t text = shared ? static_cast<std::uint64_t>(traced.group) : 1'000'000 + index;
      request.prompt.push_back(static_cast<TokenId>(mix(text, static_cast<std::uint64_t>(i)) % 100'000));
    }
    request.params.stop.max_tokens = traced.num_output_tokens;
    return request;
  }

  void send(std::vector<Peer> peers, ToWorker message) override {
    if (auto* plan = std::get_if<StepPlan>(&message)) plans_.emplace_back(peers.front(), std::move(*plan));
  }
  void on_joined(const Cluster::Joined&) override {}
  void on_lost(const Cluster::Lost& lost) override { CHECK_MSG(false, lost.reason.c_str()); }
  void on_step(ReplicaId, const StepSample&) override {}
  void on_stale_result() override { CHECK_MSG(false, "a replica answered what was not asked"); }
  void on_first_plan(ReplicaId, Time) override {}

  const CellOptions& options_;
  const std::vector<TracedRequest>& requests_;
  EngineCore core_;
  std::map<Peer, Timed> replicas_;
  CellReport report_;
  std::priority_queue<Answer> answers_;
  std::vector<std::pair<Peer, StepPlan>> plans_;  // of this turn
  std::vector<std::size_t> first_tokens_, last_tokens_;
  std::size_t next_request_ = 0;
  std::uint64_t last_order_ = 0;
  Time now_ = 0;
  Time free_at_ = 0;
};

}  // namespace

CellReport run_cell(const CellOptions& options, const std::vector<TracedRequest>& requests, double drain_s) {
  return Cell(options, requests).run(drain_s);
}

}  // namespace caudal::sim
