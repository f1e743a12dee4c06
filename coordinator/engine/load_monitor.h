// LoadMonitor: what the engine remembers to report its load: recent queue waits and refusals. Engine thread.
#pragma once

#include <optional>
#include <vector>

#include "coordinator/request/load_report.h"
#include "coordinator/scheduler/scheduler.h"

namespace caudal {

class LoadMonitor {
 public:
  void waited(Time queue_us);
  void refused(RejectReason reason) { ++num_refused_[static_cast<std::size_t>(reason)]; }

  // Whether the last report is older than kInterval. A report looks at every replica, so not every turn makes one.
  bool is_due(Time now) const { return !last_report_ || now - *last_report_ >= kInterval; }
  LoadReport report(const Scheduler& scheduler, const std::vector<ReplicaId>& replicas, bool ready, Time now);

 private:
  static constexpr std::size_t kRemembered = 1024;
  static constexpr Time kInterval = 100'000;

  QueueWait queue_wait() const;

  std::vector<Time> waits_;    // a ring once it is full
  std::size_t next_wait_ = 0;  // to be overwritten
  std::array<std::uint64_t, kNumRejectReasons> num_refused_{};
  std::optional<Time> last_report_;
};

}  // namespace caudal
