// Both gateways over loopback, in front of a scripted engine.
#pragma once

#include <gtest/gtest.h>

#include "coordinator/gateway/gateway.h"
#include "tests/coordinator/gateway/raw_client.h"
#include "tests/coordinator/gateway/scripted_service.h"

namespace caudal {

class GatewayFixture : public testing::Test {
 protected:
  static GatewayConfig test_config() {
    GatewayConfig config;
    config.http.port = 0;
    config.http.max_body_bytes = 100'000;
    config.http.header_timeout = std::chrono::milliseconds(300);
    config.http.write_timeout = std::chrono::milliseconds(300);
    config.zmq.endpoint = "tcp://127.0.0.1:*";
    config.zmq.max_message_bytes = 100'000;
    config.zmq.write_timeout = std::chrono::milliseconds(300);
    config.zmq.high_water_mark = 10;
    return config;
  }
  virtual ModelContext model() const { return byte_model(); }
  Result<std::unique_ptr<Gateway>> try_to_start(const GatewayConfig& config) {
    return Gateway::start(config, ModelRegistry({.name = "byte-model"}), only(model()), service_, metrics_);
  }
  void start(const GatewayConfig& config = test_config()) {
    auto started = try_to_start(config);
    ASSERT_TRUE(started.ok()) << started.error().message;
    gateway_ = std::move(started).value();
  }
  void SetUp() override { start(); }

  HttpAnswer ask(std::string_view request) {
    RawClient client(gateway_->http_port());
    client.send(request);
    return client.read_answer();
  }
  HttpAnswer get(std::string_view path) { return ask("GET " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n\r\n"); }
  HttpAnswer post_to(std::string_view path, std::string_view body) { return ask(http_post(std::string(path), body)); }
  HttpAnswer complete(std::string_view body) { return post_to("/v1/completions", body); }

  ScriptedService service_;
  Metrics metrics_{"byte-model"};
  std::unique_ptr<Gateway> gateway_;
};

}  // namespace caudal
