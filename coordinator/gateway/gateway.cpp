#include "coordinator/gateway/gateway.h"

#include "coordinator/gateway/generation/gateway_models.h"
#include "coordinator/gateway/generation/generation.h"
#include "coordinator/gateway/generation/work_pool.h"

namespace caudal {

struct Gateway::Parts {
  Parts(const GatewayConfig& config, const ModelRegistry& registry, std::vector<ModelContext> contexts,
        RequestService& service, Metrics& metrics)
      : models(registry, std::move(contexts)),
        context{models, service, metrics, config.max_logprobs},
        pool(config.num_work_threads, config.max_waiting_work) {}

  const GatewayModels models;
  const GenerationContext context;
  WorkPool pool;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<ZmqGateway> zmq;
};

Result<std::unique_ptr<Gateway>> Gateway::start(const GatewayConfig& config, const ModelRegistry& registry,
                                                std::vector<ModelContext> contexts, RequestService& service,
                                                Metrics& metrics) {
  auto parts = std::make_unique<Parts>(config, registry, std::move(contexts), service, metrics);
  Result<std::unique_ptr<HttpServer>> http = HttpServer::start(config.http, parts->context, parts->pool);
  if (!http) return http.error();
  parts->http = std::move(http).value();
  if (config.zmq_enabled) {
    Result<std::unique_ptr<ZmqGateway>> zmq = ZmqGateway::start(config.zmq, parts->context, parts->pool);
    if (!zmq) return zmq.error();
    parts->zmq = std::move(zmq).value();
  }
  return std::unique_ptr<Gateway>(new Gateway(std::move(parts)));
}

Gateway::Gateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Gateway::~Gateway() { stop(); }

std::uint16_t Gateway::http_port() const { return parts_->http->port(); }

std::string Gateway::zmq_endpoint() const { return parts_->zmq == nullptr ? "" : parts_->zmq->endpoint(); }

bool Gateway::answering() const {
  return parts_->http->answering() || (parts_->zmq != nullptr && parts_->zmq->answering());
}

void Gateway::begin_drain() {
  parts_->http->begin_drain();
  if (parts_->zmq != nullptr) parts_->zmq->begin_drain();
}

void Gateway::stop() {
  begin_drain();
  parts_->http->stop();
  if (parts_->zmq != nullptr) parts_->zmq->stop();
  parts_->pool.stop();
}

}  // namespace caudal
