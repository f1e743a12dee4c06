// QueuePolicy: who goes first among the sequences of one tenant (tenants.h shares between tenants). The smallest
// key is admitted first; on a replica, the largest is preempted first. A key is fixed, except that a sequence
// which can no longer be in time is given another one.
#pragma once

#include <algorithm>
#include <compare>

#include "coordinator/request/request.h"

namespace caudal {

struct QueueKey {
  std::int64_t rank = 0;  // smaller is more urgent; no sequence preempts one of a smaller rank
  Time order = 0;         // within a rank
  SequenceId sequence_id = 0;

  auto operator<=>(const QueueKey&) const = default;
};

class QueuePolicy {
 public:
  virtual ~QueuePolicy() = default;
  // `in_time`: the target for its first token can still be met.
  virtual QueueKey key(const Request& request, SequenceId sequence_id, bool in_time) const = 0;
};

// By priority, then by when the first token is due: at the deadline or the target for it, and kPatience after
// arrival at the latest. So a request without either is overtaken only by those that arrive within
// kPatience of it, however many have tight ones; and without any it is first come, first served.
class EarliestDueFirst final : public QueuePolicy {
 public:
  static constexpr Time kPatience = 10'000'000;

  QueueKey key(const Request& request, SequenceId sequence_id, bool in_time) const override {
    Time due = request.arrival + kPatience;
    if (in_time && request.ttft_target_us > 0) due = std::min(due, request.arrival + request.ttft_target_us);
    if (request.deadline) due = std::min(due, *request.deadline);
    return {.rank = request.priority, .order = due, .sequence_id = sequence_id};
  }
};

}  // namespace caudal
