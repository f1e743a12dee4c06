// The ZeroMQ gateway: gateway.proto over a ROUTER socket. One thread owns the socket and all its requests; templating
// and tokenizing happen on the work pool. A client that is gone or does not read gets its requests cancelled.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "common/result.h"
#include "common/socket.h"
#include "coordinator/gateway/api/limits.h"

namespace caudal {

class WorkPool;
struct GenerationContext;

struct ZmqConfig {
  std::string endpoint = "tcp://127.0.0.1:8001";  // tcp or ipc; off loopback only with keys
  std::optional<CurveKeys> curve;
  std::size_t max_requests = 4096;                       // in flight, of all clients
  std::size_t max_message_bytes = kDefaultMaxBodyBytes;  // refused above; above 4 times as many the client is cut off
  std::size_t max_buffered_bytes = 256 << 20;            // requests not yet tokenized, of all clients together
  std::chrono::milliseconds write_timeout{30'000};       // a client whose queue stays full
  int high_water_mark = 256;                             // events queued per client in ZeroMQ
  int max_unread = 8;                                    // requests, likewise: each may have 4 max_message_bytes
};

class ZmqGateway {
 public:
  // Binds and serves. Errors name the endpoint. `generation` and `pool` outlive it.
  static Result<std::unique_ptr<ZmqGateway>> start(const ZmqConfig& config, const GenerationContext& generation,
                                                   WorkPool& pool);
  ~ZmqGateway();

  const std::string& endpoint() const;  // with the real port
  bool answering() const;               // whether any request is not answered to its end
  void begin_drain();                   // new requests are refused
  void stop();                          // cancels what runs, joins; idempotent

 private:
  class Loop;
  explicit ZmqGateway(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace caudal
