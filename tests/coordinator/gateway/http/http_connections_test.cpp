// Connections of the HTTP gateway: slow and vanishing clients, too many of them, and the end of the server.
#include <chrono>
#include <memory>
#include <vector>

#include "coordinator/gateway/http/http_response.h"
#include "tests/coordinator/gateway/gateway_fixture.h"
#include "tests/coordinator/gateway/http/http_answers.h"
#include "tests/coordinator/gateway/leaks.h"

namespace caudal {
namespace {

using HttpConnectionsTest = GatewayFixture;

TEST_F(HttpConnectionsTest, SlowHeadersAreCut) {
  RawClient client(gateway_->http_port());
  client.send("GET /live HTTP/1.1\r\nA: ");
  const auto start = std::chrono::steady_clock::now();
  client.receive();
  EXPECT_TRUE(client.ended());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
}

TEST_F(HttpConnectionsTest, AVanishingClientCancels) {
  service_.set_script({.silent = true});
  const std::string whole = http_post("/v1/completions", R"({"prompt":"a"})");
  const std::string stream = http_post("/v1/completions", R"({"prompt":"a","stream":true})");
  for (std::size_t round = 0; round < 4; ++round) {
    RawClient client(gateway_->http_port());
    client.send(round == 1 ? stream : whole);
    if (round == 3) client.send(whole);  // a pipelined request hides the end of the connection
    ASSERT_TRUE(service_.wait_for_running(1));
    if (round == 2) {
      client.reset();
    } else {
      client.close();
    }
    ASSERT_TRUE(service_.wait_for_cancel(round + 1)) << round;
  }
  service_.set_script({.text = "abc", .pause = std::chrono::milliseconds(1), .endless = true});
  {
    RawClient client(gateway_->http_port());
    client.send(http_post("/v1/completions", R"({"prompt":"a","stream":true,"max_tokens":1900})"));
    ASSERT_TRUE(client.wait_for("data: "));
  }
  EXPECT_TRUE(service_.wait_for_cancel(5));
  {
    RawClient client(gateway_->http_port());  // in mid-body
    client.send(whole.substr(0, whole.size() - 3));
  }
  EXPECT_EQ(get("/live").status, 200);
}

TEST_F(HttpConnectionsTest, AClientThatIsDoneWithSendingGetsItsAnswer) {
  service_.set_script({.text = "abcde", .pause = std::chrono::milliseconds(60)});
  const std::string body = R"({"prompt":"a","max_tokens":5)";
  const auto old = [](const std::string& text) {
    return "POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(text.size()) + "\r\n\r\n" + text;
  };
  for (const std::string& request :
       {http_post("/v1/completions", body + "}"), old(body + "}"),
        http_post("/v1/completions", body + R"(,"stream":true})"), old(body + R"(,"stream":true})")}) {
    RawClient client(gateway_->http_port());
    client.send(request);
    client.half_close();
    const HttpAnswer answer = client.read_answer();
    EXPECT_EQ(answer.status, 200) << request;
    EXPECT_TRUE(answer.complete) << request;
    const bool stream = request.find("stream") != std::string::npos;
    if (stream) {
      EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n")) << answer.body;
    } else {
      EXPECT_EQ(parsed(answer.body).at("choices").at(0).at("text"), "abcde");
    }
  }
  RawClient late(gateway_->http_port());  // in mid-stream
  late.send(http_post("/v1/completions", body + R"(,"stream":true})"));
  ASSERT_TRUE(late.wait_for("data: "));
  late.half_close();
  EXPECT_TRUE(late.wait_for("data: [DONE]\n\n"));
}

TEST_F(HttpConnectionsTest, AClientThatDoesNotReadIsCancelledAndDelaysNobody) {
  RawClient slow(gateway_->http_port(), 4096);
  service_.set_script(
      {.text = "0123456789", .tokens_per_event = 20, .pause = std::chrono::milliseconds(1), .endless = true});
  slow.send(http_post("/v1/completions", R"({"prompt":"a","stream":true,"n":8,"logprobs":20})"));
  ASSERT_TRUE(service_.wait_for_running(1));
  service_.set_script({});
  EXPECT_EQ(complete(R"({"prompt":"b"})").status, 200);
  EXPECT_TRUE(service_.wait_for_cancel());
}

TEST_F(HttpConnectionsTest, WhatTheEndOfTheServerCutsOffIsAnError) {
  service_.set_script({.text = "abc", .finish = FinishReason::kAbort});
  const HttpAnswer whole = complete(R"({"prompt":"a"})");
  EXPECT_EQ(whole.status, 503);
  EXPECT_EQ(parsed(whole.body).at("error").at("code"), "shutting_down");
  service_.set_script({.text = "", .finish = FinishReason::kAbort});
  EXPECT_EQ(complete(R"({"prompt":"a","stream":true})").status, 503) << "nothing was sent yet";
  service_.set_script({.text = "abc", .pause = std::chrono::milliseconds(100), .finish = FinishReason::kAbort});
  const HttpAnswer stream = complete(R"({"prompt":"a","stream":true})");
  EXPECT_EQ(stream.body.find("abort"), std::string::npos) << stream.body;
  const auto events = events_of(stream.body);
  ASSERT_GE(events.size(), 3U);
  std::string text;
  for (std::size_t i = 0; i + 2 < events.size(); ++i) text += events[i].at("choices").at(0).at("text").as_string();
  EXPECT_EQ(text, "abc");
  EXPECT_EQ(events[events.size() - 2].at("error").at("code"), "shutting_down");
  EXPECT_EQ(events.back(), "[DONE]");
}

TEST_F(HttpConnectionsTest, TooManyBusyConnectionsAreTurnedAway) {
  gateway_.reset();
  GatewayConfig config = test_config();
  config.http.max_connections = 2;
  start(config);
  service_.set_script({.silent = true});
  RawClient one(gateway_->http_port());
  RawClient two(gateway_->http_port());
  for (RawClient* client : {&one, &two}) client->send(http_post("/v1/completions", R"({"prompt":"a"})"));
  ASSERT_TRUE(service_.wait_for_running(2));
  EXPECT_EQ(get("/live").status, 503);
}

TEST_F(HttpConnectionsTest, IdleConnectionsMakeRoomTheOldestFirst) {
  gateway_.reset();
  GatewayConfig config = test_config();
  config.http.max_connections = 3;
  start(config);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<RawClient>(gateway_->http_port()));
    clients.back()->send("GET /live HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(clients.back()->read_answer().status, 200);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // until the server waits for the next request
  }
  for (int i = 0; i < 2; ++i) EXPECT_EQ(get("/live").status, 200);  // each closes behind itself
  EXPECT_FALSE(clients[0]->receive());
  EXPECT_TRUE(clients[0]->ended());
  clients[2]->send("GET /live HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(clients[2]->read_answer().status, 200);
}

TEST_F(HttpConnectionsTest, DrainsAndStops) {
  service_.set_script({.silent = true});
  RawClient waiting(gateway_->http_port());
  waiting.send(http_post("/v1/completions", R"({"prompt":"a"})"));
  ASSERT_TRUE(service_.wait_for_running(1));
  gateway_->begin_drain();
  EXPECT_EQ(get("/health").status, 503);
  EXPECT_EQ(complete(R"({"prompt":"a"})").status, 503);
  EXPECT_EQ(service_.num_running(), 1U);  // what runs goes on
  const auto start = std::chrono::steady_clock::now();
  gateway_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  EXPECT_EQ(service_.num_running(), 0U);
}
}  // namespace
}  // namespace caudal
