#include "coordinator/gateway/zmq/zmq_gateway.h"

#include <algorithm>
#include <atomic>
#include <boost/json/value.hpp>
#include <deque>
#include <map>
#include <thread>
#include <utility>

#include "coordinator/gateway/generation/generation.h"
#include "coordinator/gateway/generation/work_pool.h"
#include "coordinator/gateway/http/load_report_json.h"
#include "coordinator/gateway/zmq/proto_json.h"
#include "coordinator/gateway/zmq/zmq_events.h"
#include "coordinator/request/request_service.h"
#include "proto/gateway.pb.h"

namespace caudal {
namespace {

using Clock = std::chrono::steady_clock;
using FlightId = std::uint64_t;

constexpr std::chrono::milliseconds kIdleWait{1000};
constexpr std::chrono::milliseconds kRetryWait{2};  // while a client's queue is full
constexpr int kMaxReceivedAtOnce = 64;              // then tokens get their turn
constexpr std::size_t kAnsweredSizes = 4;           // times max_message_bytes; larger ones end the connection
constexpr std::size_t kSpareNews = 1024;            // of flights that ended since the last look

// How other threads wake the loop for a flight. Shared with the engine's sinks and the pool's jobs, which
// may outlive the gateway.
struct News {
  explicit News(std::size_t capacity) : flights(capacity) {}
  void add(FlightId id) {
    flights.try_push(FlightId{id});  // never full: each flight has at most two entries, and see kSpareNews
    event.signal();
  }
  Queue<FlightId> flights;
  WakeEvent event;
};

using ByteCount = std::atomic<std::size_t>;

// Templating and tokenizing of one request; owned by the job and the flight. Counts itself in `buffered` until both
// have let go of it.
struct Preparation {
  Preparation(std::shared_ptr<ByteCount> buffered, std::size_t size)
      : buffered_bytes(std::move(buffered)), num_bytes(size) {
    *buffered_bytes += num_bytes;
  }
  ~Preparation() { *buffered_bytes -= num_bytes; }
  Preparation(const Preparation&) = delete;
  Preparation& operator=(const Preparation&) = delete;

  const std::shared_ptr<ByteCount> buffered_bytes;
  const std::size_t num_bytes;
  Endpoint endpoint = Endpoint::kCompletions;
  gateway::GatewayRequest request;
  Intake intake;
  std::atomic<bool> done = false;
};

// One request of a client.
struct Flight {
  std::string peer;
  std::uint64_t tag = 0;
  bool delimited = false;
  std::shared_ptr<Preparation> preparation;  // until it is done
  std::unique_ptr<Generation> generation;    // from then on
  std::unique_ptr<EventWriter> writer;
  std::deque<std::string> unsent;  // events the client's queue had no room for; at most one batch
  Clock::time_point blocked_since;
  bool ended = false;  // its last event is written
};

}  // namespace

class ZmqGateway::Loop {
 public:
  Loop(const ZmqConfig& config, const GenerationContext& context, WorkPool& pool, std::unique_ptr<Socket> socket)
      : config_(config),
        context_(context),
        pool_(pool),
        socket_(std::move(socket)),
        news_(std::make_shared<News>(2 * config.max_requests + kSpareNews)),
        thread_([this] { run(); }) {}
  ~Loop() { stop(); }

  const std::string& endpoint() const { return socket_->endpoint(); }
  bool answering() const { return num_open_ > 0; }
  void begin_drain() { draining_ = true; }
  void stop() {
    stopping_ = true;
    news_->event.signal();
    if (thread_.joinable()) thread_.join();
  }

 private:
  using Flights = std::map<FlightId, Flight>;
  using Key = std::pair<std::string, std::uint64_t>;  // peer, tag

  void run();
  void receive(const Socket::Message& message);
  std::optional<ApiError> check_frames(const Socket::Message& message) const;
  void begin(const Socket::Message& message, gateway::GatewayRequest request);
  void cancel(const Socket::Message& message, std::uint64_t tag);
  void advance(FlightId id);
  void start_generation(FlightId id, Flight& flight);
  void send(Flight& flight, std::string event);
  bool flush(Flight& flight);
  void end_all_of(const std::string& peer);
  void retry_blocked();
  void reply(const Socket::Message& to, std::string_view event);
  void finish(Flights::iterator flight);

  const ZmqConfig config_;
  const GenerationContext context_;
  WorkPool& pool_;
  const std::unique_ptr<Socket> socket_;
  const std::shared_ptr<News> news_;
  const std::shared_ptr<ByteCount> buffered_bytes_ = std::make_shared<ByteCount>(0);  // jobs may outlive the loop
  Flights flights_;
  std::map<Key, FlightId> by_key_;
  std::size_t num_blocked_ = 0;                         // flights with unsent events
  std::map<std::string, Clock::time_point> last_sent_;  // by peer, while any flight is blocked
  FlightId next_id_ = 1;
  std::atomic<std::size_t> num_open_ = 0;  // flights, for other threads
  std::atomic<bool> draining_ = false;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;  // last: runs with everything above in place
};

void ZmqGateway::Loop::run() {
  while (!stopping_) {
    socket_->wait(num_blocked_ > 0 ? kRetryWait : kIdleWait, &news_->event);
    for (int i = 0; i < kMaxReceivedAtOnce; ++i) {
      const std::optional<Socket::Message> message = socket_->receive();
      if (!message) break;
      if (i + 1 == kMaxReceivedAtOnce) news_->event.signal();  // come back for the rest
      receive(*message);
    }
    for (const FlightId id : news_->flights.drain_for(std::chrono::seconds(0))) advance(id);
    if (num_blocked_ > 0) retry_blocked();
    num_open_ = flights_.size();
  }
  flights_.clear();  // cancels
}

// --- From clients ---

void ZmqGateway::Loop::receive(const Socket::Message& message) {
  gateway::GatewayRequest request;
  std::optional<ApiError> problem = check_frames(message);
  if (!problem && !parse_bounded(message.body, request)) {
    problem = invalid_request({"The message is not a GatewayRequest.", ""});
  }
  if (problem) {
    reply(message, error_event(leading_tag(message.body), *problem));
    return;
  }
  switch (request.body_case()) {
    case gateway::GatewayRequest::kCompletion:
    case gateway::GatewayRequest::kChat:
      begin(message, std::move(request));
      break;
    case gateway::GatewayRequest::kCancel:
      cancel(message, request.tag());
      break;
    case gateway::GatewayRequest::kStatus: {
      const ServiceStatus status = context_.service.status();
      reply(message, status_event(request.tag(), status.ready && !draining_, context_));
      break;
    }
    case gateway::GatewayRequest::kLoad:
      reply(message, load_event(request.tag(), *context_.service.load()));
      break;
    case gateway::GatewayRequest::BODY_NOT_SET:
      reply(message, error_event(request.tag(), invalid_request({"It is required.", "body"})));
  }
}

std::optional<ApiError> ZmqGateway::Loop::check_frames(const Socket::Message& message) const {
  if (message.body.size() > config_.max_message_bytes) return body_too_large(config_.max_message_bytes);
  if (message.body.empty()) return invalid_request({"The message is empty; it must be a GatewayRequest.", ""});
  if (message.malformed) return invalid_request({"The message has more than one frame; a request is one.", ""});
  return std::nullopt;
}

void ZmqGateway::Loop::begin(const Socket::Message& message, gateway::GatewayRequest request) {
  const std::uint64_t tag = request.tag();
  if (by_key_.contains({message.peer, tag})) {
    reply(message, error_event(tag, invalid_request({"A request with this tag is still running.", "tag"})));
    return;
  }
  if (draining_ || flights_.size() >= config_.max_requests ||
      message.body.size() >
          config_.max_buffered_bytes - std::min(config_.max_buffered_bytes, buffered_bytes_->load())) {
    reply(message, error_event(tag, overloaded()));
    return;
  }
  auto preparation = std::make_shared<Preparation>(buffered_bytes_, message.body.size());
  preparation->endpoint = request.has_chat() ? Endpoint::kChat : Endpoint::kCompletions;
  preparation->request = std::move(request);
  const FlightId id = next_id_++;
  const auto work = [preparation, id, news = news_, &context = context_, arrival = Clock::now()] {
    const gateway::GatewayRequest& body = preparation->request;
    const bool chat = preparation->endpoint == Endpoint::kChat;
    preparation->intake = contain([&] {
      auto json = chat ? proto_to_json(body.chat()) : proto_to_json(body.completion());
      return take_request(context, preparation->endpoint, std::move(json), arrival);
    });
    preparation->done = true;
    news->add(id);
  };
  if (!pool_.try_submit(work)) {
    reply(message, error_event(tag, overloaded()));
    return;
  }
  Flight flight;
  flight.peer = message.peer;
  flight.tag = tag;
  flight.delimited = message.delimited;
  flight.preparation = std::move(preparation);
  by_key_[{message.peer, tag}] = id;
  flights_.emplace(id, std::move(flight));
}

void ZmqGateway::Loop::cancel(const Socket::Message& message, std::uint64_t tag) {
  const auto known = by_key_.find({message.peer, tag});
  if (known == by_key_.end()) {
    reply(message, error_event(tag, unknown_tag()));
    return;
  }
  const auto flight = flights_.find(known->second);
  if (flight->second.ended) return;  // its last event is on its way
  if (flight->second.writer == nullptr) {
    send(flight->second, aborted_event(flight->second.tag));
  } else {
    flight->second.generation->cancel();
    send(flight->second, flight->second.writer->finished(flight->second.generation->usage()));
  }
  flight->second.ended = true;
  if (flight->second.unsent.empty()) finish(flight);
}

// --- From the pool and the engine ---

void ZmqGateway::Loop::advance(FlightId id) {
  const auto found = flights_.find(id);
  if (found == flights_.end()) return;
  Flight& flight = found->second;
  if (!flight.unsent.empty()) return;  // retry_blocked() comes back to it
  if (flight.ended) {
    finish(found);
    return;
  }
  if (flight.preparation != nullptr && flight.preparation->done) start_generation(id, flight);
  if (flight.generation != nullptr && !flight.ended) {
    const Generation::Progress progress = flight.generation->advance();
    for (const ChoiceDelta& delta : progress.deltas) {
      for (std::string& event : flight.writer->delta(delta)) send(flight, std::move(event));
    }
    if (progress.error) {
      send(flight, error_event(flight.tag, *progress.error));
      flight.ended = true;
    } else if (flight.generation->finished()) {
      send(flight, flight.writer->finished(flight.generation->usage()));
      flight.ended = true;
    }
  }
  if (flight.ended && flight.unsent.empty()) finish(found);
}

void ZmqGateway::Loop::start_generation(FlightId id, Flight& flight) {
  Intake intake = std::move(flight.preparation->intake);
  flight.preparation.reset();
  if (!intake.error) intake.error = intake.generation->start([news = news_, id] { news->add(id); });
  if (intake.error) {
    send(flight, error_event(flight.tag, *intake.error));
    flight.ended = true;
    return;
  }
  flight.generation = std::move(intake.generation);
  flight.writer = std::make_unique<EventWriter>(flight.tag, flight.generation->request(), flight.generation->model());
  if (flight.generation->request().stream) send(flight, flight.writer->accepted());
}

// --- To clients ---

void ZmqGateway::Loop::send(Flight& flight, std::string event) {
  flight.unsent.push_back(std::move(event));
  if (flight.unsent.size() == 1 && !flush(flight)) {
    ++num_blocked_;
    flight.blocked_since = Clock::now();
  }
}

// True when nothing is left; for a peer that is gone, nothing ever is.
bool ZmqGateway::Loop::flush(Flight& flight) {
  while (!flight.unsent.empty()) {
    const SendStatus status = socket_->send(flight.peer, flight.unsent.front(), flight.delimited);
    if (status == SendStatus::kFull) return false;
    if (status == SendStatus::kPeerGone) {
      flight.unsent.clear();
      end_all_of(flight.peer);
      return true;
    }
    flight.unsent.pop_front();
    if (num_blocked_ > 0) last_sent_[flight.peer] = Clock::now();
  }
  return true;
}

// Cancels at once, cleans up when the loop comes to each of them.
void ZmqGateway::Loop::end_all_of(const std::string& peer) {
  for (auto known = by_key_.lower_bound({peer, 0}); known != by_key_.end() && known->first.first == peer; ++known) {
    Flight& flight = flights_.at(known->second);
    if (std::exchange(flight.ended, true)) continue;
    if (flight.generation != nullptr) flight.generation->cancel();
    news_->add(known->second);
  }
}

void ZmqGateway::Loop::retry_blocked() {
  std::vector<FlightId> unblocked;
  for (auto next = flights_.begin(); next != flights_.end();) {
    const auto current = next++;
    Flight& flight = current->second;
    if (flight.unsent.empty()) continue;
    const bool flushed = flush(flight);
    // A client that reads at all, though slower than its many streams come, is not a dead one.
    const auto last_sent = last_sent_.find(flight.peer);
    const auto since =
        last_sent == last_sent_.end() ? flight.blocked_since : std::max(flight.blocked_since, last_sent->second);
    const bool too_long = !flushed && Clock::now() - since > config_.write_timeout;
    if (!flushed && !too_long) continue;
    --num_blocked_;
    if (flight.ended || too_long) {
      finish(current);
    } else {
      unblocked.push_back(current->first);
    }
  }
  if (num_blocked_ == 0) last_sent_.clear();
  for (const FlightId id : unblocked) advance(id);
}

// An answer outside of any flight; lost when the client does not read, as it would not read it anyway.
void ZmqGateway::Loop::reply(const Socket::Message& to, std::string_view event) {
  static_cast<void>(socket_->send(to.peer, event, to.delimited));
}

void ZmqGateway::Loop::finish(Flights::iterator flight) {
  by_key_.erase({flight->second.peer, flight->second.tag});
  flights_.erase(flight);
}

Result<std::unique_ptr<ZmqGateway>> ZmqGateway::start(const ZmqConfig& config, const GenerationContext& generation,
                                                      WorkPool& pool) {
  SocketOptions options;
  options.high_water_mark = config.high_water_mark;
  options.most_unread = config.max_unread;
  options.max_message_bytes = kAnsweredSizes * config.max_message_bytes;
  options.deliver_malformed = true;
  options.curve = config.curve;
  Result<std::unique_ptr<Socket>> socket = Socket::bind_router(config.endpoint, options);
  if (!socket) return socket.error();
  auto loop = std::make_unique<Loop>(config, generation, pool, std::move(socket).value());
  return std::unique_ptr<ZmqGateway>(new ZmqGateway(std::move(loop)));
}

ZmqGateway::ZmqGateway(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
ZmqGateway::~ZmqGateway() = default;
const std::string& ZmqGateway::endpoint() const { return loop_->endpoint(); }
bool ZmqGateway::answering() const { return loop_->answering(); }
void ZmqGateway::begin_drain() { loop_->begin_drain(); }
void ZmqGateway::stop() { loop_->stop(); }

}  // namespace caudal
