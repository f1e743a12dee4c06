// Server: the link thread of a worker. It owns the DEALER socket to the coordinator: it registers, passes plans in and
// results out, and sends beats for the step thread. It ends the process when the coordinator says so, is silent for the
// lease, or never answers. The contract is in common/wire.h.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "worker/process/step_loop.h"

namespace caudal {

struct ServerTiming {
  std::chrono::milliseconds beat{500};
  std::chrono::milliseconds lease{10'000};         // silence of the coordinator after which the process ends
  std::chrono::milliseconds join_timeout{60'000};  // from start to the first Welcome
  std::chrono::milliseconds orderly_exit{3'000};   // for the step thread to come back before it is cut off
};

class Server {
 public:
  // `stop` becomes true when the process was asked to end (SIGTERM). queues and stop must outlive the server.
  Server(std::unique_ptr<Socket> socket, Register registration, const ServerTiming& timing, StepQueues& queues,
         const std::atomic<bool>& stop);

  // Starts the link thread. `prepare` runs first on it.
  void start(const std::function<void()>& prepare);

  // Called by the step thread when its loop has returned `step_code`. Sends the answers that are left and ends the
  // link. Returns the exit code of the process.
  int finish(int step_code);
  // After finish(): why the coordinator refused this rank, or empty. The caller logs it, because all ranks of a job
  // mostly get the same refusal.
  const std::string& refusal() const { return refusal_; }

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  void receive();
  void on_message(Welcome message);
  void on_message(const Refused& message);
  void on_message(const LeaseBeat&) {}
  void on_message(StepPlan message);
  void on_message(const Shutdown& message);
  void on_message(const RegisterAgain&);
  void send_answers();
  void send_beat();
  void check_silence();
  void end(int code);  // plans are closed; the step thread comes back soon
  void cut_off_if_late();

  std::unique_ptr<Socket> socket_;
  Register registration_;
  ServerTiming timing_;
  StepQueues& queues_;
  const std::atomic<bool>& stop_;
  std::thread thread_;
  std::atomic<bool> step_ended_{false};

  // Used by the link thread only; finish() reads them after it ended.
  Clock::time_point started_, heard_, next_beat_;
  bool welcomed_ = false;
  bool ending_ = false;
  Clock::time_point cut_off_at_;
  int exit_code_ = 0;
  std::string refusal_;
};

}  // namespace caudal
