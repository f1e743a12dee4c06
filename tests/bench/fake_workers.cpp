#include "tests/bench/fake_workers.h"

#include <zmq.h>

#include <chrono>

#include "common/check.h"
#include "common/wire.h"

namespace caudal::bench {
namespace {

constexpr auto kBeat = std::chrono::milliseconds(500);
constexpr long kPollMs = 100;

void send(void* socket, const FromWorker& message) {
  const std::string body = encode(message);
  CHECK(zmq_send(socket, body.data(), body.size(), 0) >= 0);
}

}  // namespace

struct FakeWorkers::Link {
  void* socket = nullptr;
  Epoch epoch = 0;
  sim::InstantTable table;

  explicit Link(std::int32_t num_slots) : table(num_slots) {}
};

FakeWorkers::FakeWorkers(const std::string& endpoint, std::int32_t count, const ReplicaInfo& info)
    : info_(info), context_(zmq_ctx_new()) {
  zmq_ctx_set(context_, ZMQ_MAX_SOCKETS, count + 16);
  for (std::int32_t i = 0; i < count; ++i) {
    Link& link = *links_.emplace_back(std::make_unique<Link>(info.max_num_sequences));
    link.socket = zmq_socket(context_, ZMQ_DEALER);
    CHECK(link.socket != nullptr);
    const int no_linger = 0;
    zmq_setsockopt(link.socket, ZMQ_LINGER, &no_linger, sizeof no_linger);
    CHECK(zmq_connect(link.socket, endpoint.c_str()) == 0);
    send(link.socket, Register{.replica_key = "replica-" + std::to_string(i), .info = info_, .build_version = "bench"});
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

FakeWorkers::~FakeWorkers() {
  thread_.request_stop();
  thread_.join();
  for (const auto& link : links_) zmq_close(link->socket);
  zmq_ctx_term(context_);
}

void FakeWorkers::run(const std::stop_token& stop) {
  std::vector<zmq_pollitem_t> items;
  for (const auto& link : links_) items.push_back({link->socket, 0, ZMQ_POLLIN, 0});
  auto next_beat = std::chrono::steady_clock::now();
  zmq_msg_t message;
  zmq_msg_init(&message);
  while (!stop.stop_requested()) {
    zmq_poll(items.data(), static_cast<int>(items.size()), kPollMs);
    for (std::size_t i = 0; i < items.size(); ++i) {
      if ((items[i].revents & ZMQ_POLLIN) == 0) continue;
      Link& link = *links_[i];
      while (zmq_msg_recv(&message, link.socket, ZMQ_DONTWAIT) >= 0) {
        const auto decoded =
            decode_to_worker({static_cast<const char*>(zmq_msg_data(&message)), zmq_msg_size(&message)});
        CHECK(decoded.ok());
        if (const auto* welcome = std::get_if<Welcome>(&decoded.value())) link.epoch = welcome->epoch;
        const auto* plan = std::get_if<StepPlan>(&decoded.value());
        if (plan == nullptr || plan->epoch != link.epoch) continue;
        send(link.socket, link.table.run(*plan));
        ++num_steps_;
      }
    }
    if (std::chrono::steady_clock::now() < next_beat) continue;
    for (const auto& link : links_) send(link->socket, Beat{.epoch = link->epoch, .steps_done = 0, .busy = false});
    next_beat = std::chrono::steady_clock::now() + kBeat;
  }
  zmq_msg_close(&message);
}

}  // namespace caudal::bench
