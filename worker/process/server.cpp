#include "worker/process/server.h"

#include <algorithm>
#include <cstdlib>

#include "common/log.h"

namespace caudal {
namespace {

// A signal handler only sets a flag, so the thread looks at it this often.
constexpr std::chrono::milliseconds kMaxWait{200};

}  // namespace

Server::Server(std::unique_ptr<Socket> socket, Register registration, const ServerTiming& timing, StepQueues& queues,
               const std::atomic<bool>& stop)
    : socket_(std::move(socket)),
      registration_(std::move(registration)),
      timing_(timing),
      queues_(queues),
      stop_(stop) {}

void Server::start(const std::function<void()>& prepare) {
  thread_ = std::thread([this, prepare] {
    prepare();
    run();
  });
}

int Server::finish(int step_code) {
  step_ended_ = true;
  queues_.answered.signal();
  thread_.join();
  return exit_code_ != 0 ? exit_code_ : step_code;
}

void Server::run() {
  started_ = heard_ = next_beat_ = Clock::now();
  socket_->send("", encode(FromWorker(registration_)));
  while (!step_ended_) {
    const auto until_beat = std::chrono::ceil<std::chrono::milliseconds>(next_beat_ - Clock::now());
    socket_->wait(std::clamp(until_beat, std::chrono::milliseconds(0), kMaxWait), &queues_.answered);
    receive();
    send_answers();
    if (Clock::now() >= next_beat_) send_beat();
    if (stop_ && !ending_) {
      socket_->send("", encode(FromWorker(Failed{queues_.epoch, "asked to end"})));
      end(0);
    }
    if (!ending_) check_silence();
    cut_off_if_late();
  }
  send_answers();
}

void Server::receive() {
  while (std::optional<Socket::Message> message = socket_->receive()) {
    Result<ToWorker> decoded = decode_to_worker(message->body);
    if (!decoded) {
      LOG_WARNING("dropped a message of the coordinator: {}", decoded.error().message);
      continue;
    }
    heard_ = Clock::now();
    std::visit([this](auto&& body) { on_message(std::forward<decltype(body)>(body)); }, std::move(decoded).value());
  }
}

void Server::on_message(Welcome message) {
  LOG_INFO("joined as worker {} in epoch {}", message.worker_id, message.epoch);
  welcomed_ = true;
  queues_.epoch = message.epoch;
  queues_.steps_done = 0;
  queues_.plans.drain_for(std::chrono::milliseconds(0));
}

void Server::on_message(StepPlan message) {
  if (message.epoch != queues_.epoch) {
    LOG_WARNING("dropped a plan of epoch {} in epoch {}", message.epoch, queues_.epoch.load());
    return;
  }
  if (ending_ || queues_.plans.try_push(std::move(message))) return;
  LOG_ERROR("the coordinator sends more plans than can be in flight");
  end(kExitOutOfStep);
}

void Server::on_message(const Refused& message) {
  refusal_ = fmt::format("refused by the coordinator: {}", message.reason);
  end(kExitRefused);
}

void Server::on_message(const Shutdown& message) {
  LOG_INFO("shut down by the coordinator: {}", message.reason);
  end(0);
}

void Server::on_message(const RegisterAgain&) { socket_->send("", encode(FromWorker(registration_))); }

void Server::send_answers() {
  for (const FromWorker& answer : queues_.answers.drain_for(std::chrono::milliseconds(0))) {
    if (socket_->send("", encode(answer)) != SendStatus::kSent) LOG_WARNING("an answer could not be sent");
  }
}

void Server::send_beat() {
  const bool busy = queues_.running || queues_.plans.size() > 0;
  socket_->send("", encode(FromWorker(Beat{queues_.epoch, queues_.steps_done, busy})));
  next_beat_ = Clock::now() + timing_.beat;
}

void Server::check_silence() {
  const Clock::time_point now = Clock::now();
  if (!welcomed_ && now - started_ > timing_.join_timeout) {
    refusal_ = fmt::format("the coordinator did not answer in {} ms; is --coordinator its control endpoint?",
                           timing_.join_timeout.count());
    end(kExitNoCoordinator);
  } else if (welcomed_ && now - heard_ > timing_.lease) {
    LOG_ERROR("the coordinator was silent for {} ms", timing_.lease.count());
    end(kExitLeaseLost);
  }
}

void Server::end(int code) {
  if (ending_) return;
  ending_ = true;
  exit_code_ = code;
  cut_off_at_ = Clock::now() + timing_.orderly_exit;
  queues_.plans.close();
}

// Nothing can interrupt a step thread inside a collective whose other ranks are gone. It never comes back.
void Server::cut_off_if_late() {
  if (!ending_ || step_ended_ || Clock::now() < cut_off_at_) return;
  if (!refusal_.empty()) LOG_ERROR("{}", refusal_);
  LOG_WARNING("the step thread does not come back; ending without it");
  std::_Exit(exit_code_);
}

}  // namespace caudal
