#include "coordinator/cluster/worker_link.h"

#include <chrono>
#include <stop_token>
#include <thread>
#include <utility>

#include "common/log.h"
#include "common/queue.h"

namespace caudal {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxQueuedSends = 1 << 16;
constexpr int kMaxReceivedInARow = 1024;
constexpr auto kIdleWait = 1000ms;

struct Outgoing {
  std::vector<std::string> peers;
  ToWorker message;
};

}  // namespace

struct WorkerLink::Impl {
  explicit Impl(std::unique_ptr<Socket> s) : socket(std::move(s)), outgoing(kMaxQueuedSends) {}

  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      socket->wait(kIdleWait, &wake);
      send_queued();
      receive_all();
    }
    send_queued();
  }

  void send_queued() {
    for (Outgoing& item : outgoing.drain_for(0ms)) {
      const std::string body = encode(item.message);
      for (const std::string& peer : item.peers) {
        // A full queue means that the peer has stopped reading far beyond its plans in flight.
        if (socket->send(peer, body) != SendStatus::kSent) handler({peer, LinkEvent::PeerGone{}});
      }
    }
  }

  // Not without end: plans and lease beats must go out also when a peer floods.
  void receive_all() {
    for (int i = 0; i < kMaxReceivedInARow; ++i) {
      auto message = socket->receive();
      if (!message) return;
      Result<FromWorker> decoded = decode_from_worker(message->body);
      if (!decoded.ok()) {
        LOG_WARNING("dropped a control message: {} {}", decoded.error().message, decoded.error().field);
        continue;
      }
      handler({std::move(message->peer), std::move(decoded).value()});
    }
  }

  std::unique_ptr<Socket> socket;
  Queue<Outgoing> outgoing;
  WakeEvent wake;
  Handler handler;
  std::jthread thread;  // last: joined before the rest goes
};

WorkerLink::WorkerLink(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

WorkerLink::~WorkerLink() {
  impl_->thread.request_stop();
  impl_->wake.signal();
}

Result<std::unique_ptr<WorkerLink>> WorkerLink::bind(const std::string& endpoint, const SocketOptions& options) {
  auto socket = Socket::bind_router(endpoint, options);
  if (!socket.ok()) return socket.error();
  return std::unique_ptr<WorkerLink>(new WorkerLink(std::make_unique<Impl>(std::move(socket).value())));
}

const std::string& WorkerLink::endpoint() const { return impl_->socket->endpoint(); }

void WorkerLink::start(Handler handler) {
  impl_->handler = std::move(handler);
  impl_->thread = std::jthread([impl = impl_.get()](const std::stop_token& stop) { impl->run(stop); });
}

void WorkerLink::send(std::vector<std::string> peers, ToWorker message) {
  if (peers.empty()) return;
  // Full means that the link thread hangs; the engine must not hang with it. The step timeout ends it.
  if (!impl_->outgoing.try_push({std::move(peers), std::move(message)})) LOG_ERROR("the link does not keep up");
  impl_->wake.signal();
}

}  // namespace caudal
