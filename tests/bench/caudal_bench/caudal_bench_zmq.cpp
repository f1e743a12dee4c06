// The ZeroMQ client: one DEALER carries all requests, the tag is the index in the workload.
#include <fmt/format.h>

#include <cmath>
#include <set>

#include "common/socket.h"
#include "proto/gateway.pb.h"
#include "tests/bench/caudal_bench/caudal_bench_client.h"

namespace caudal::bench {
namespace {

constexpr std::chrono::milliseconds kStatusTimeout{5000};

Result<std::unique_ptr<Socket>> connect(const std::string& endpoint, std::size_t num_requests) {
  SocketOptions options;
  options.high_water_mark = static_cast<int>(num_requests) * 2 + 16;  // and their cancellations
  options.linger = std::chrono::milliseconds(500);  // so that cancellations of an interrupted run get through
  return Socket::connect_dealer(endpoint, options);
}

class ZmqClient {
 public:
  ZmqClient(Socket& socket, Run& run) : socket_(socket), run_(run) {}

  void drive() {
    double next_tick_s = 0.0;
    while (!run_.over()) {
      while (const std::optional<std::size_t> index = run_.take()) send(*index);
      while (const std::optional<Socket::Message> message = socket_.receive()) apply(message->body);
      if (run_.now_s() >= next_tick_s) {
        run_.show_progress();
        expire();
        next_tick_s = run_.now_s() + std::chrono::duration<double>(kTick).count();
      }
      const double idle_s = run_.idle_s(std::chrono::duration<double>(kTick).count());
      if (!run_.over()) socket_.wait(std::chrono::milliseconds(std::lround(std::ceil(idle_s * 1e3))), nullptr);
    }
    for (const std::size_t index : under_way_) cancel(index);
  }

 private:
  void send(std::size_t index) {
    const Load& load = run_.load();
    gateway::GatewayRequest request;
    request.set_tag(index);
    gateway::CompletionRequest& completion = *request.mutable_completion();
    completion.set_model(load.model);
    gateway::TokenIds& prompt = *completion.add_prompt()->mutable_token_ids();
    for (const std::int32_t token : run_.prompt(index)) prompt.add_ids(token);
    gateway::Parameters& parameters = *completion.mutable_parameters();
    parameters.set_max_tokens(load.requests[index].num_output_tokens);
    parameters.set_temperature(load.temperature);
    parameters.set_ignore_eos(load.ignore_eos);
    parameters.set_stream(true);
    const std::string bytes = request.SerializeAsString();
    run_.record(index).start_s = run_.now_s();
    under_way_.insert(index);
    if (socket_.send("", bytes) != SendStatus::kSent) finish(index, "the server does not read");
  }

  void apply(const std::string& bytes) {
    gateway::GatewayEvent event;
    if (!event.ParseFromString(bytes) || under_way_.count(event.tag()) == 0) return;
    const auto index = static_cast<std::size_t>(event.tag());
    Record& record = run_.record(index);
    if (event.has_delta()) {
      record.add_text(event.delta().text(), run_.now_s());
    } else if (event.has_finished()) {
      record.add_text("", run_.now_s());
      record.num_output_tokens = event.finished().usage().completion_tokens();
      finish(index, "");
    } else if (event.has_error()) {
      finish(index, fmt::format("{}: {}", event.error().status(), event.error().message()));
    }
  }

  void expire() {
    const double oldest_s = run_.now_s() - std::chrono::duration<double>(run_.load().timeout).count();
    const std::set<std::size_t> under_way = under_way_;
    for (const std::size_t index : under_way) {
      if (run_.record(index).start_s > oldest_s) continue;
      cancel(index);
      finish(index, "timed out");
    }
  }

  void cancel(std::size_t index) {
    gateway::GatewayRequest request;
    request.set_tag(index);
    request.mutable_cancel();
    socket_.send("", request.SerializeAsString());
  }

  void finish(std::size_t index, std::string error) {
    under_way_.erase(index);
    run_.finish(index, std::move(error));
  }

  Socket& socket_;
  Run& run_;
  std::set<std::size_t> under_way_;
};

}  // namespace

Result<ServedModel> ask_model_zmq(const std::string& endpoint, const std::string& wanted) {
  Result<std::unique_ptr<Socket>> socket = connect(endpoint, 1);
  if (!socket) return socket.error();
  gateway::GatewayRequest request;
  request.mutable_status();
  socket.value()->send("", request.SerializeAsString());
  socket.value()->wait(kStatusTimeout, nullptr);
  const std::optional<Socket::Message> answer = socket.value()->receive();
  gateway::GatewayEvent event;
  if (!answer || !event.ParseFromString(answer->body) || !event.has_status()) {
    return Error{fmt::format("no answer from {}", endpoint), "zmq"};
  }
  const gateway::Status& status = event.status();
  if (!wanted.empty() && status.model() != wanted) {
    return Error{fmt::format("the server has no {}; it has {}", wanted, status.model()), "model"};
  }
  return ServedModel{status.model(), status.max_context_tokens()};
}

Result<Outcome> run_zmq(const std::string& endpoint, const Load& load) {
  const Result<std::unique_ptr<Socket>> socket = connect(endpoint, load.requests.size());
  if (!socket) return socket.error();
  Run run(load);
  ZmqClient(*socket.value(), run).drive();
  return std::move(run).outcome();
}

}  // namespace caudal::bench
