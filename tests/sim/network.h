// Network: the control links between ranks and coordinator. Each link is first in, first out each way;
// between links anything can overtake anything. With faults, messages get lost or come twice, and links break:
// the rank then connects anew under another routing id, and the coordinator may or may not be told.
#pragma once

#include <deque>
#include <optional>

#include "coordinator/cluster/cluster.h"
#include "tests/sim/environment.h"

namespace caudal::sim {

class Network {
 public:
  explicit Network(Environment& environment) : environment_(environment) {}

  struct Link {
    std::int32_t job = 0;
    std::int32_t rank = 0;
    bool open = true;
    std::deque<ToWorker> to_worker;
    std::deque<FromWorker> to_coordinator;
  };

  // A new link; its index is also its routing id.
  std::int32_t connect(std::int32_t job, std::int32_t rank);
  void cut(std::int32_t link);

  void send_to_coordinator(std::int32_t link, FromWorker message);
  void send_to_worker(const Peer& peer, const ToWorker& message);

  // What arrives now; empty when it was lost.
  std::optional<FromWorker> arrive_at_coordinator(std::int32_t link);
  std::optional<ToWorker> arrive_at_worker(std::int32_t link);

  const Link& link(std::int32_t index) const { return links_[static_cast<std::size_t>(index)]; }
  static Peer peer_of(std::int32_t link) { return std::to_string(link); }
  static std::int32_t link_of(const Peer& peer) { return std::stoi(peer); }

 private:
  Link& at(std::int32_t index) { return links_[static_cast<std::size_t>(index)]; }
  Time draw_delay();
  bool loses_one();

  Environment& environment_;
  std::vector<Link> links_;
};

}  // namespace caudal::sim
