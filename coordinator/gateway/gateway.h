// Both gateways, what they share, and their order of life. Made by main after the engine, stopped before it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "coordinator/gateway/api/limits.h"
#include "coordinator/gateway/http/http_server.h"
#include "coordinator/gateway/zmq/zmq_gateway.h"

namespace caudal {

class Metrics;
class ModelRegistry;
class RequestService;
struct ModelContext;

struct GatewayConfig {
  HttpConfig http;
  ZmqConfig zmq;
  bool zmq_enabled = true;
  std::int32_t max_logprobs = kDefaultMaxLogprobs;  // that a request may ask for, of each token; -1 = any number
  std::size_t num_work_threads = 2;                 // templating and tokenizing
  std::size_t max_waiting_work = 4096;
};

class Gateway {
 public:
  // Listens on both doors and serves. `contexts` are those of the registry's models, in its order. Errors name the port
  // or endpoint. `service` and `metrics` outlive it.
  static Result<std::unique_ptr<Gateway>> start(const GatewayConfig& config, const ModelRegistry& registry,
                                                std::vector<ModelContext> contexts, RequestService& service,
                                                Metrics& metrics);
  ~Gateway();

  std::uint16_t http_port() const;
  std::string zmq_endpoint() const;  // empty when disabled

  // Whether any request is not answered to its end, at either door.
  bool answering() const;

  // /health says 503 and new requests are refused; what runs goes on.
  void begin_drain();
  // Cancels what runs and closes everything; idempotent.
  void stop();

 private:
  struct Parts;
  explicit Gateway(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace caudal
