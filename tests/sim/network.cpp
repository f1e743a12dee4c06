#include "tests/sim/network.h"

#include <utility>

namespace caudal::sim {

std::int32_t Network::connect(std::int32_t job, std::int32_t rank) {
  links_.push_back({.job = job, .rank = rank, .open = true, .to_worker = {}, .to_coordinator = {}});
  return static_cast<std::int32_t>(links_.size()) - 1;
}

void Network::cut(std::int32_t index) {
  Link& link = at(index);
  if (!link.open) return;
  link.open = false;
  link.to_worker.clear();
  if (environment_.random.chance(50)) link.to_coordinator.clear();
  const bool is_noticed = !environment_.faults || environment_.random.chance(80);
  if (is_noticed) environment_.after(draw_delay(), {EventKind::kPeerGone, index});
}

Time Network::draw_delay() {
  Random& random = environment_.random;
  return environment_.faults && random.per_mille(20) ? random.draw(1'000, 60'000) : random.draw(50, 2'000);
}

bool Network::loses_one() { return environment_.faults && environment_.random.per_mille(environment_.loss_per_mille); }

void Network::send_to_coordinator(std::int32_t index, FromWorker message) {
  if (!at(index).open || loses_one()) return;
  const bool twice = environment_.faults && environment_.random.per_mille(10);
  if (twice) {
    at(index).to_coordinator.push_back(message);
    environment_.after(draw_delay(), {EventKind::kToCoordinator, index});
  }
  at(index).to_coordinator.push_back(std::move(message));
  environment_.after(draw_delay(), {EventKind::kToCoordinator, index});
}

void Network::send_to_worker(const Peer& peer, const ToWorker& message) {
  const std::int32_t index = link_of(peer);
  if (!at(index).open || loses_one()) return;
  at(index).to_worker.push_back(message);
  environment_.after(draw_delay(), {EventKind::kToWorker, index});
}

std::optional<FromWorker> Network::arrive_at_coordinator(std::int32_t index) {
  auto& messages = at(index).to_coordinator;
  if (messages.empty()) return std::nullopt;
  FromWorker message = std::move(messages.front());
  messages.pop_front();
  return message;
}

std::optional<ToWorker> Network::arrive_at_worker(std::int32_t index) {
  auto& messages = at(index).to_worker;
  if (messages.empty()) return std::nullopt;
  ToWorker message = std::move(messages.front());
  messages.pop_front();
  return message;
}

}  // namespace caudal::sim
