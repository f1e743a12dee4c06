#include "coordinator/engine/load_monitor.h"

#include <algorithm>

namespace caudal {
namespace {

std::vector<TenantLoad> tenant_loads(const Tenants& tenants) {
  std::vector<TenantLoad> loads;
  TenantLoad others;
  others.num_generated_tokens = tenants.num_tokens_of_forgotten();
  for (const auto& [name, tenant] : tenants.all()) {
    if (tenant.is_configured) {
      loads.push_back({name, tenant.weight, tenant.num_requests, tenant.num_waiting, tenant.num_generated_tokens});
      continue;
    }
    others.num_requests += tenant.num_requests;
    others.num_waiting += tenant.num_waiting;
    others.num_generated_tokens += tenant.num_generated_tokens;
  }
  loads.push_back(others);
  return loads;
}

}  // namespace

void LoadMonitor::waited(Time queue_us) {
  if (waits_.size() < kRemembered) {
    waits_.push_back(queue_us);
    return;
  }
  waits_[next_wait_] = queue_us;
  next_wait_ = (next_wait_ + 1) % kRemembered;
}

QueueWait LoadMonitor::queue_wait() const {
  std::vector<Time> sorted = waits_;
  std::ranges::sort(sorted);
  const auto at = [&](std::size_t percent) { return sorted.empty() ? 0 : sorted[(sorted.size() - 1) * percent / 100]; };
  return {.count = static_cast<std::int32_t>(sorted.size()), .p50_us = at(50), .p90_us = at(90), .p99_us = at(99)};
}

LoadReport LoadMonitor::report(const Scheduler& scheduler, const std::vector<ReplicaId>& replicas, bool ready,
                               Time now) {
  last_report_ = now;
  const SchedulerStats stats = scheduler.stats();
  LoadReport report;
  report.ready = ready;
  report.num_running = stats.num_running;
  report.num_waiting = stats.num_waiting;
  report.max_waiting = scheduler.config().max_waiting;
  report.oldest_wait_us = scheduler.oldest_wait(now);
  report.queue_wait = queue_wait();
  for (const ReplicaId id : replicas) report.replicas.push_back({id, scheduler.replica_stats(id)});
  report.tenants = tenant_loads(scheduler.tenants());
  report.num_refused = num_refused_;
  return report;
}

}  // namespace caudal
