// QueuePolicy: who goes first. The scheduler asks once per sequence, at submission, and orders both the
// waiting queue and the running sequences by the key: the smallest is admitted first, the largest
// preempted first. Fairness between tenants becomes another policy; the scheduler does not change.
#pragma once

#include <compare>

#include "coordinator/request.h"

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
  virtual QueueKey key(const Request& request, SequenceId sequence_id) const = 0;
};

// By priority, then first come, first served. A deadline does not move a request forward: requests
// without one would starve behind a steady stream of those with one.
class FirstComeFirstServed final : public QueuePolicy {
 public:
  QueueKey key(const Request& request, SequenceId sequence_id) const override {
    return {.rank = request.priority, .order = request.arrival, .sequence_id = sequence_id};
  }
};

}  // namespace caudal
