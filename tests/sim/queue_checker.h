// QueueChecker: that work is done when it can be. A replica idles only when nobody who waits fits it (S9);
// nobody who has not started yet is overtaken where they would fit, and preemptions of one sequence are
// bounded (S10).
#pragma once

#include "tests/sim/ledger.h"

namespace caudal::sim {

class QueueChecker {
 public:
  // Replicas as the scheduler knows them at the end of a turn.
  using Replicas = std::map<ReplicaId, ReplicaInfo>;

  static bool fits(const SchedulerConfig& config, const ReplicaInfo& info, const Promise& promise) {
    const Request& request = promise.request;
    Demand demand{promise.num_prompt_tokens(), request.params.stop.max_tokens, promise.num_prompt_tokens()};
    if (request.beam) demand.num_together = request.num_running();
    return can_ever_fit(config, info, demand);
  }

  // With prefix caching a sequence may wait for a busy replica that has more of its prompt; and always for one that
  // may have its KV in host memory, and for the prompt that a sibling is computing.
  static void check_work_conserving(const Scheduler& scheduler, const Ledger& ledger, const Replicas& replicas,
                                    bool may_wait_for_busy) {
    const auto is_busy = [&](const auto& entry) {
      return scheduler.replica_stats(entry.first).num_plans_in_flight > 0;
    };
    const bool any_busy = std::ranges::any_of(replicas, is_busy);
    for (const auto& [id, info] : replicas) may_wait_for_busy |= scheduler.replica_stats(id).num_used_host_blocks > 0;
    for (const auto& [id, info] : replicas) {
      const ReplicaStats stats = scheduler.replica_stats(id);
      if (stats.num_plans_in_flight > 0) continue;
      CHECK_MSG(stats.num_running == 0, "a replica idles with sequences on it");
      if (may_wait_for_busy && any_busy) continue;
      std::int32_t num_misfits = 0;
      ledger.for_each_live([&, &held = info](const Promise& promise, const Stream& stream) {
        const bool may_wait_for_sibling = any_busy && promise.request.num_running() > 1;
        const bool must_run = fits(scheduler.config(), held, promise) && !may_wait_for_sibling;
        num_misfits += must_run ? 0 : ledger.num_sequences(promise, stream);
      });
      CHECK_MSG(scheduler.stats().num_waiting <= num_misfits, "a replica idles while a sequence that fits it waits");
    }
  }

  // The first admission of a stream: everyone who could have gone there, should have, and still waits for its
  // first admission has been overtaken. That happens only to one that was left to another replica, whose
  // sequences then took the room; and by turn, to one of a higher priority. Where there is one replica, equals go in
  // order.
  void started(const SchedulerConfig& config, const Ledger& ledger, const Stream& started, const ReplicaInfo& info,
               std::size_t num_replicas) {
    const Request& first = ledger.promise(started.request).request;
    ledger.for_each_live([&](const Promise& promise, const Stream& stream) {
      if (stream.num_admissions > 0 || !comes_before(promise.request, first) || !fits(config, info, promise)) return;
      const bool are_equal = promise.request.priority == first.priority && promise.request.num_running() == 1;
      CHECK_MSG(num_replicas > 1 || !are_equal, "a sequence is overtaken by its equal on the only replica");
      const std::int32_t num_overtakes = ++num_overtakes_[{stream.request, stream.index}];
      max_overtakes_ = std::max(max_overtakes_, num_overtakes);
      CHECK_MSG(num_overtakes <= kMaxOvertakes, "a sequence starves behind later ones");
    });
  }
  std::int32_t max_overtakes() const { return max_overtakes_; }

 private:
  // Of one tenant, without targets: what others are owed is another matter.
  static bool comes_before(const Request& a, const Request& b) {
    const auto order = [](const Request& request) { return std::tuple(request.priority, request.arrival, request.id); };
    const bool is_plain = b.ttft_target_us == 0 && !b.deadline;
    return is_plain && a.tenant == b.tenant && order(a) < order(b);
  }

  static constexpr std::int32_t kMaxOvertakes = 14;

  std::map<std::pair<RequestId, std::int32_t>, std::int32_t> num_overtakes_;
  std::int32_t max_overtakes_ = 0;
};

}  // namespace caudal::sim
