// The ZeroMQ gateway with real DEALER and REQ sockets: the same answers as HTTP, streams, cancel, clients that vanish
// or do not read.
#include <gtest/gtest.h>
#include <zmq.h>

#include <cmath>
#include <map>
#include <set>

#include "proto/gateway.pb.h"
#include "tests/coordinator/gateway/gateway_fixture.h"
#include "tests/coordinator/gateway/tools_fixture.h"

namespace caudal {
namespace {

class ZmqClient {
 public:
  ZmqClient(const std::string& endpoint, int type, int high_water_mark = 1000) : context_(zmq_ctx_new()) {
    socket_ = zmq_socket(context_, type);
    const int zero = 0;
    zmq_setsockopt(socket_, ZMQ_LINGER, &zero, sizeof(zero));
    zmq_setsockopt(socket_, ZMQ_RCVHWM, &high_water_mark, sizeof(high_water_mark));
    if (high_water_mark < 1000) zmq_setsockopt(socket_, ZMQ_RCVBUF, &high_water_mark, sizeof(high_water_mark));
    const int timeout_ms = 5000;
    zmq_setsockopt(socket_, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    zmq_connect(socket_, endpoint.c_str());
  }
  ~ZmqClient() {
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }
  ZmqClient(const ZmqClient&) = delete;
  ZmqClient& operator=(const ZmqClient&) = delete;

  void send(const std::string& bytes, int flags = 0) { zmq_send(socket_, bytes.data(), bytes.size(), flags); }
  void send(const gateway::GatewayRequest& request) { send(request.SerializeAsString()); }
  gateway::GatewayEvent receive() {
    gateway::GatewayEvent event;
    zmq_msg_t message;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, socket_, 0) >= 0) {
      event.ParseFromArray(zmq_msg_data(&message), static_cast<int>(zmq_msg_size(&message)));
    }
    zmq_msg_close(&message);
    return event;
  }
  // The next event of this request; an empty one when nothing comes any more.
  gateway::GatewayEvent receive_of(std::uint64_t tag) {
    gateway::GatewayEvent event;
    do {
      event = receive();
    } while (event.event_case() != gateway::GatewayEvent::EVENT_NOT_SET && event.tag() != tag);
    return event;
  }
  gateway::GatewayEvent receive_end_of(std::uint64_t tag) {
    gateway::GatewayEvent event;
    do {
      event = receive_of(tag);
    } while (event.has_delta());
    return event;
  }

 private:
  void* context_;
  void* socket_;
};

gateway::GatewayRequest completion(std::uint64_t tag, bool stream = true) {
  gateway::GatewayRequest request;
  request.set_tag(tag);
  request.mutable_completion()->add_prompt()->set_text("abc");
  auto* parameters = request.mutable_completion()->mutable_parameters();
  parameters->set_max_tokens(100);
  if (stream) parameters->set_stream(true);
  return request;
}

gateway::GatewayRequest cancel(std::uint64_t tag) {
  gateway::GatewayRequest request;
  request.set_tag(tag);
  request.mutable_cancel();
  return request;
}

using ZmqGatewayTest = GatewayFixture;

TEST_F(ZmqGatewayTest, StreamsLikeHttp) {
  service_.set_script({.text = "Grüße 😀"});
  ZmqClient client(gateway_->zmq_endpoint(), ZMQ_DEALER);
  client.send(completion(7));
  gateway::GatewayEvent event = client.receive();
  EXPECT_EQ(event.tag(), 7U);
  ASSERT_TRUE(event.has_accepted());
  std::string text;
  for (event = client.receive(); event.has_delta(); event = client.receive()) text += event.delta().text();
  ASSERT_TRUE(event.has_finished());
  EXPECT_EQ(text, "Grüße 😀");
  EXPECT_EQ(event.finished().choices(0).finish_reason(), "stop");
  EXPECT_EQ(event.finished().choices(0).text(), "");
  EXPECT_EQ(event.finished().usage().prompt_tokens(), 4);
}

TEST_F(ZmqGatewayTest, ReqClientsGetOneAnswer) {
  ZmqClient client(gateway_->zmq_endpoint(), ZMQ_REQ);
  for (std::uint64_t tag = 1; tag < 4; ++tag) {
    gateway::GatewayRequest request;
    request.set_tag(tag);
    auto* message = request.mutable_chat()->add_messages();
    message->set_role("user");
    message->set_content("Hi");
    client.send(request);
    const gateway::GatewayEvent event = client.receive();
    ASSERT_TRUE(event.has_finished()) << event.ShortDebugString();
    EXPECT_EQ(event.tag(), tag);
    EXPECT_EQ(event.finished().choices(0).text(), "Hello, world");
  }
}

TEST_F(ZmqGatewayTest, ManyRequestsInterleave) {
  service_.set_script({.text = "interleaved", .pause = std::chrono::microseconds(100)});
  ZmqClient client(gateway_->zmq_endpoint(), ZMQ_DEALER);
  for (std::uint64_t tag = 0; tag < 100; ++tag) client.send(completion(tag));
  std::map<std::uint64_t, std::string> texts;
  for (int num_finished = 0; num_finished < 100;) {
    const gateway::GatewayEvent event = client.receive();
    ASSERT_NE(event.event_case(), gateway::GatewayEvent::EVENT_NOT_SET);
    if (event.has_delta()) texts[event.tag()] += event.delta().text();
    if (event.has_finished()) ++num_finished;
  }
  for (const auto& [tag, text] : texts) EXPECT_EQ(text, "interleaved") << tag;
  EXPECT_EQ(texts.size(), 100U);
}

TEST_F(ZmqGatewayTest, Cancels) {
  service_.set_script({.text = "x", .pause = std::chrono::milliseconds(1), .endless = true});
  ZmqClient client(gateway_->zmq_endpoint(), ZMQ_DEALER);
  gateway::GatewayRequest request = completion(5);
  request.mutable_completion()->mutable_parameters()->set_max_tokens(1900);
  client.send(request);
  ASSERT_TRUE(client.receive().has_accepted());
  ASSERT_TRUE(client.receive().has_delta());
  client.send(cancel(5));
  const gateway::GatewayEvent event = client.receive_end_of(5);
  ASSERT_TRUE(event.has_finished());
  EXPECT_EQ(event.finished().choices(0).finish_reason(), "abort");
  EXPECT_TRUE(service_.wait_for_cancel());
  service_.set_script({});
  client.send(completion(5));  // the tag is free again
  EXPECT_TRUE(client.receive().has_accepted());
}

TEST_F(ZmqGatewayTest, IdsAreUniqueOverClients) {
  std::set<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    ZmqClient client(gateway_->zmq_endpoint(), ZMQ_DEALER);
    client.send(completion(1));
    const std::string id = client.receive().accepted().id();
    EXPECT_TRUE(id.starts_with("cmpl-")) << id;
    EXPECT_EQ(client.receive_end_of(1).finished().id(), id);
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 3U);
}

TEST_F(ZmqGatewayTest, BadRequestsAreRefusedByName) {
  ZmqClient client(gateway_->zmq_endpoint(), ZMQ_DEALER);
  client.send(std::string("not a message"));
  EXPECT_EQ(client.receive().error().status(), 400);
  gateway::GatewayRequest nothing;
  nothing.set_tag(1);
  client.send(nothing);
  EXPECT_EQ(client.receive().error().param(), "body");
  gateway::GatewayRequest hot = completion(2);
  hot.mutable_completion()->mutable_parameters()->set_temperature(std::nan(""));
  client.send(hot);
  EXPECT_EQ(client.receive().error().param(), "temperature");
  gateway::GatewayRequest other = completion(3);
  other.mutable_completion()->set_model("other");
  client.send(other);
  EXPECT_EQ(client.receive().error().code(), "model_not_found");
  service_.set_script({.reject = RejectReason::kQueueFull});
  client.send(completion(4, false));
  EXPECT_EQ(client.receive().error().status(), 429);
  service_.set_script({.silent = true});
  client.send(completion(9, false));
  ASSERT_TRUE(service_.wait_for_running(1));
  client.send(completion(9, false));
  EXPECT_EQ(client.receive().error().param(), "tag");
  gateway::GatewayRequest status;
  status.mutable_status();
  client.send(status);
  EXPECT_TRUE(client.receive().status().ready());
  service_.set_max_context(512);
  client.send(status);
  EXPECT_EQ(client.receive().status().max_context_tokens(), 512);
  LoadReport report;
  report.num_waiting = 7;
  report.num_refused[static_cast<std::size_t>(RejectReason::kQueueFull)] = 5;
  service_.set_load(report);
  gateway::GatewayRequest load;
  load.set_tag(77);
  load.mutable_load();
  client.send(load);
  const gateway::GatewayEvent event = client.receive();
  EXPECT_EQ(event.tag(), 77U);
  EXPECT_EQ(event.load().waiting(), 7);
  EXPECT_EQ(event.load().refused(2).reason(), "queue_full");
  EXPECT_EQ(event.load().refused(2).count(), 5U);
}

TEST_F(ZmqGatewayTest, AMessageOverTheLimitIsRefusedAndTheOthersGoOn) {
  service_.set_script({.text = "x", .pause = std::chrono::milliseconds(1), .endless = true});
  ZmqClient client(gateway_->zmq_endpoint(), ZMQ_DEALER);
  gateway::GatewayRequest running = completion(1);
  running.mutable_completion()->mutable_parameters()->set_max_tokens(1900);
  client.send(running);
  ASSERT_TRUE(client.receive().has_accepted());
  ASSERT_TRUE(client.receive().has_delta());
  gateway::GatewayRequest large = completion(2, false);
  large.mutable_completion()->mutable_prompt(0)->set_text(std::string(390'000, 'x'));
  client.send(large);
  const gateway::GatewayEvent event = client.receive_of(2);
  EXPECT_EQ(event.error().status(), 413);
  EXPECT_NE(event.error().message().find("100000 bytes"), std::string::npos) << event.ShortDebugString();
  client.send(cancel(1));
  const gateway::GatewayEvent end = client.receive_end_of(1);
  ASSERT_TRUE(end.has_finished());
  EXPECT_GT(end.finished().usage().completion_tokens(), 0);
}

TEST_F(ZmqGatewayTest, WhatIsNoRequestIsAnswered) {
  ZmqClient dealer(gateway_->zmq_endpoint(), ZMQ_DEALER);
  dealer.send(std::string());
  EXPECT_NE(dealer.receive().error().message().find("empty"), std::string::npos);
  dealer.send(completion(3).SerializeAsString(), ZMQ_SNDMORE);
  dealer.send(completion(4));
  const gateway::GatewayEvent frames = dealer.receive();
  EXPECT_EQ(frames.tag(), 3U);
  EXPECT_NE(frames.error().message().find("frame"), std::string::npos);
  dealer.send(completion(5).SerializeAsString() + "\xff");
  EXPECT_EQ(dealer.receive().tag(), 5U);
  dealer.send(cancel(6));
  const gateway::GatewayEvent unknown = dealer.receive();
  EXPECT_EQ(unknown.tag(), 6U);
  EXPECT_EQ(unknown.error().code(), "unknown_tag");
  ZmqClient req(gateway_->zmq_endpoint(), ZMQ_REQ);
  req.send(std::string());
  EXPECT_EQ(req.receive().error().status(), 400);
  req.send(cancel(1));
  EXPECT_EQ(req.receive().error().status(), 404);
  EXPECT_EQ(service_.num_running(), 0U);
}

TEST_F(ZmqGatewayTest, AMessageFarOverTheLimitEndsOnlyItsConnection) {
  service_.set_script({});
  ZmqClient good(gateway_->zmq_endpoint(), ZMQ_DEALER);
  {
    ZmqClient bad(gateway_->zmq_endpoint(), ZMQ_DEALER);
    bad.send(std::string(500'000, 'x'));
    good.send(completion(1, false));
    EXPECT_TRUE(good.receive().has_finished());
  }
}

TEST_F(ZmqGatewayTest, AVanishedClientIsCancelled) {
  service_.set_script({.text = "x", .pause = std::chrono::milliseconds(1), .endless = true});
  {
    ZmqClient client(gateway_->zmq_endpoint(), ZMQ_DEALER);
    gateway::GatewayRequest request = completion(1);
    request.mutable_completion()->mutable_parameters()->set_max_tokens(1900);
    client.send(request);
    request.set_tag(2);
    client.send(request);
    ASSERT_TRUE(service_.wait_for_running(2));
    ASSERT_TRUE(client.receive().has_accepted());
  }
  EXPECT_TRUE(service_.wait_for_cancel(2));
}

TEST_F(ZmqGatewayTest, AClientThatDoesNotReadIsCancelledAndDelaysNobody) {
  service_.set_script(
      {.text = "0123456789", .tokens_per_event = 20, .pause = std::chrono::milliseconds(1), .endless = true});
  ZmqClient slow(gateway_->zmq_endpoint(), ZMQ_DEALER, 10);
  gateway::GatewayRequest request = completion(1);
  request.mutable_completion()->mutable_parameters()->set_n(8);
  request.mutable_completion()->mutable_parameters()->set_num_logprobs(20);
  request.mutable_completion()->mutable_parameters()->set_max_tokens(1990);
  slow.send(request);
  ASSERT_TRUE(service_.wait_for_running(1));
  service_.set_script({});
  ZmqClient good(gateway_->zmq_endpoint(), ZMQ_DEALER);
  good.send(completion(1, false));
  EXPECT_TRUE(good.receive().has_finished());
  EXPECT_TRUE(service_.wait_for_cancel());
}

// Token i of a prompt has the log-probability -i there.
TEST_F(ZmqGatewayTest, TellsOfPromptsAndIds) {
  ZmqClient client(gateway_->zmq_endpoint(), ZMQ_DEALER);
  for (const bool streams : {false, true}) {
    gateway::GatewayRequest request = completion(1, streams);
    gateway::Parameters& parameters = *request.mutable_completion()->mutable_parameters();
    parameters.set_max_tokens(2);
    parameters.set_echo(true);
    parameters.set_num_logprobs(1);
    parameters.set_return_token_ids(true);
    client.send(request);
    gateway::Prompted prompt;
    std::vector<std::int32_t> ids;
    for (bool ended = false; !ended;) {
      const gateway::GatewayEvent event = client.receive();
      ASSERT_FALSE(event.has_error()) << event.error().message();
      const auto take = [&](const auto& part) {
        if (part.has_prompt()) prompt = part.prompt();
        ids.insert(ids.end(), part.token_ids().begin(), part.token_ids().end());
      };
      if (event.has_delta()) take(event.delta());
      ended = event.has_finished();
      if (ended && !streams) take(event.finished().choices(0));
    }
    EXPECT_EQ(ids, (std::vector<std::int32_t>{'H', 'e'}));
    ASSERT_GE(prompt.token_ids_size(), 2);
    EXPECT_EQ(prompt.token_ids(0), ByteTokenizer::kBos);
    ASSERT_EQ(prompt.logprobs_size(), prompt.token_ids_size() - 1);
    EXPECT_EQ(prompt.logprobs(0).sampled().token(), prompt.token_ids(1));
    EXPECT_EQ(prompt.logprobs(0).sampled().logprob(), -1.0F);
    EXPECT_EQ(prompt.logprobs(0).top_size(), 1);
  }
}

TEST_F(ZmqGatewayTest, BytesThatWaitAreBounded) {
  GatewayConfig config = test_config();
  config.zmq.max_buffered_bytes = 1000;
  start(config);
  ZmqClient client(gateway_->zmq_endpoint(), ZMQ_DEALER);
  gateway::GatewayRequest large = completion(1, false);
  large.mutable_completion()->mutable_prompt(0)->set_text(std::string(1000, 'x'));
  client.send(large);
  gateway::GatewayEvent event = client.receive();
  ASSERT_TRUE(event.has_error());
  EXPECT_EQ(event.error().code(), "overloaded");
  for (std::uint64_t tag = 2; tag < 102; ++tag) {  // more than the limit together, never at once
    client.send(completion(tag, false));
    event = client.receive();
    ASSERT_TRUE(event.has_finished()) << event.ShortDebugString();
  }
}

TEST_F(ZmqGatewayTest, StopCancels) {
  service_.set_script({.silent = true});
  ZmqClient client(gateway_->zmq_endpoint(), ZMQ_DEALER);
  client.send(completion(1));
  ASSERT_TRUE(service_.wait_for_running(1));
  gateway_->stop();
  EXPECT_EQ(service_.num_running(), 0U);
}

class ZmqToolsTest : public ToolsFixture {
 protected:
  static gateway::GatewayRequest chat(std::uint64_t tag, bool stream) {
    gateway::GatewayRequest request;
    request.set_tag(tag);
    gateway::ChatRequest& chat = *request.mutable_chat();
    chat.add_messages()->set_role("user");
    chat.mutable_messages(0)->set_content("Hi");
    chat.add_tools()->mutable_function()->set_name("now");
    chat.set_tool_choice_function("now");
    if (stream) chat.mutable_parameters()->set_stream(true);
    return request;
  }
};

TEST_F(ZmqToolsTest, GivesCallsAndReasoning) {
  service_.set_script({.text = "<think>Hm.</think><tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>"});
  ZmqClient client(gateway_->zmq_endpoint(), ZMQ_DEALER);
  client.send(chat(1, false));
  const gateway::GatewayEvent whole = client.receive();
  ASSERT_TRUE(whole.has_finished()) << whole.ShortDebugString();
  const gateway::Choice& choice = whole.finished().choices(0);
  EXPECT_EQ(choice.reasoning(), "Hm.");
  EXPECT_EQ(choice.finish_reason(), "tool_calls");
  ASSERT_EQ(choice.tool_calls_size(), 1);
  EXPECT_EQ(choice.tool_calls(0).function().arguments(), "{}");
  EXPECT_EQ(service_.submitted().back().params.sampling.grammar.kind, GrammarKind::kTags);

  client.send(chat(2, true));
  std::string reasoning, name, arguments;
  gateway::GatewayEvent event = client.receive();
  for (; !event.has_finished() && !event.has_error(); event = client.receive()) {
    reasoning += event.delta().reasoning();
    for (const gateway::ToolCallDelta& call : event.delta().tool_calls()) {
      name += call.name();
      arguments += call.arguments();
    }
  }
  EXPECT_EQ(reasoning, "Hm.");
  EXPECT_EQ(name, "now");
  EXPECT_EQ(arguments, "{}");
}

TEST(ZmqGatewayConfig, OffLoopbackNeedsKeys) {
  ScriptedService service;
  Metrics metrics("m");
  GatewayConfig config;
  config.http.port = 0;
  config.zmq.endpoint = "tcp://0.0.0.0:*";
  EXPECT_FALSE(
      Gateway::start(config, ModelRegistry({.name = "byte-model"}), only(byte_model()), service, metrics).ok());
}

}  // namespace
}  // namespace caudal
