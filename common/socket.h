// ZeroMQ sockets with the limits every link of the project has: bounded messages, bounded queues, no
// linger, heartbeats, mandatory routing, CURVE off loopback. One thread owns a socket; WakeEvent is how
// other threads interrupt its wait.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace caudal {

// A Z85 CURVE key pair (ZeroMQ RFC 26). A cluster shares one pair: the coordinator proves that it holds
// the secret half, and admits only peers that hold it too.
struct CurveKeys {
  std::string public_key;
  std::string secret_key;
};
CurveKeys generate_curve_keys();
Result<CurveKeys> load_curve_keys(const std::string& path);  // two lines: "public KEY", "secret KEY"

struct SocketOptions {
  int high_water_mark = 1000;                  // messages queued per peer, in each direction
  int most_unread = 0;                         // of these, received and not read; 0 = as many
  std::size_t max_message_bytes = 64UL << 20;  // larger ones end the connection
  bool deliver_malformed = false;              // to receive(), to be answered; else they are dropped
  std::chrono::milliseconds heartbeat{200};    // ZMTP ping interval; 0 = off
  std::chrono::milliseconds heartbeat_timeout{2000};
  std::chrono::milliseconds linger{0};  // how long close() may wait to send what is queued
  std::optional<CurveKeys> curve{};
};

// True for tcp on 127.0.0.0/8, ::1 or localhost, and for ipc and inproc.
bool is_loopback_endpoint(std::string_view endpoint);

// An eventfd: wakes the thread that waits in Socket::wait. Any thread may signal.
class WakeEvent {
 public:
  WakeEvent();
  ~WakeEvent();
  WakeEvent(const WakeEvent&) = delete;
  WakeEvent& operator=(const WakeEvent&) = delete;
  void signal();
  void clear();
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

enum class SendStatus {
  kSent,
  kPeerGone,  // ROUTER: no such peer any more
  kFull,      // the peer does not read; nothing was sent
};

// A ROUTER (serves many peers) or a DEALER (one peer).
class Socket {
 public:
  // Fails with the endpoint as field when the address is in use, malformed, or off loopback without keys.
  // Port 0 picks a free one; see endpoint().
  static Result<std::unique_ptr<Socket>> bind_router(const std::string& endpoint, const SocketOptions& options);
  // Connecting succeeds at once and retries in the background with back-off. Off loopback only with keys.
  static Result<std::unique_ptr<Socket>> connect_dealer(const std::string& endpoint, const SocketOptions& options);
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  const std::string& endpoint() const;  // with the real port

  // Waits until something can be received, `wake` is signalled (and clears it), or the time is over.
  void wait(std::chrono::milliseconds timeout, WakeEvent* wake);

  struct Message {
    std::string peer;        // routing id; empty on a DEALER
    std::string body;        // last frame
    bool delimited = false;  // an empty frame came before the body, as REQ sockets send and expect
    bool malformed = false;  // not one frame that holds something, after an optional empty delimiter
  };
  // Never waits. Malformed messages only with deliver_malformed.
  std::optional<Message> receive();
  // `peer` is ignored on a DEALER.
  SendStatus send(const std::string& peer, std::string_view body, bool delimited = false);

 private:
  struct Impl;
  explicit Socket(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace caudal
