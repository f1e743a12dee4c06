// Requests of gateway.proto are the same requests as those of JSON.
#include "coordinator/gateway/zmq/proto_json.h"

#include <gtest/gtest.h>

#include "proto/gateway.pb.h"
#include "tests/coordinator/gateway/api/parse_request.h"

namespace caudal {
namespace {

TEST(ProtoJson, IsTheSameRequest) {
  gateway::ChatRequest chat;
  chat.set_model("m");
  auto* message = chat.add_messages();
  message->set_role("assistant");
  message->add_tool_calls()->mutable_function()->set_name("f");
  message->mutable_tool_calls(0)->mutable_function()->set_arguments("{}");
  auto* function = chat.add_tools()->mutable_function();
  function->set_name("f");
  (*function->mutable_parameters()->mutable_fields())["n"].set_number_value(3);
  (*chat.mutable_parameters()->mutable_logit_bias())[7] = 1.5;
  chat.mutable_parameters()->add_stop("x");
  chat.mutable_parameters()->add_bad_words("y");
  chat.mutable_parameters()->set_stream(true);
  chat.mutable_parameters()->set_user("u");
  chat.mutable_parameters()->set_deadline_ms(5);
  const auto body = proto_to_json(chat);
  ASSERT_TRUE(body.ok());
  const auto expected = parse_strict_json(R"({"model":"m","messages":[{"role":"assistant","tool_calls":[
      {"function":{"name":"f","arguments":"{}"}}]}],"tools":[{"function":{"name":"f","parameters":{"n":3}}}],
      "stop":["x"],"bad_words":["y"],"logit_bias":{"7":1.5},"stream":true,"user":"u","deadline_ms":5})");
  EXPECT_EQ(body.value(), expected.value());
  EXPECT_TRUE(parse(Endpoint::kChat, body.value()).ok());
}

TEST(ProtoJson, BeamSearchHasTheSameFields) {
  gateway::CompletionRequest request;
  request.add_prompt()->set_text("a");
  request.mutable_parameters()->set_use_beam_search(true);
  request.mutable_parameters()->set_beam_width(4);
  request.mutable_parameters()->set_length_penalty(0.5);
  request.mutable_parameters()->set_early_stopping(true);
  const auto early = parse(Endpoint::kCompletions, proto_to_json(request).value());
  ASSERT_TRUE(early.ok()) << early.error().field;
  EXPECT_EQ(early.value().beam->width, 4);
  EXPECT_EQ(early.value().beam->length_penalty, 0.5);
  EXPECT_EQ(early.value().beam->early_stopping, EarlyStopping::kYes);
  request.mutable_parameters()->set_early_stopping_mode("never");
  EXPECT_EQ(parse(Endpoint::kCompletions, proto_to_json(request).value()).value().beam->early_stopping,
            EarlyStopping::kNever);
  request.mutable_parameters()->set_early_stopping_mode("soon");
  EXPECT_EQ(parse(Endpoint::kCompletions, proto_to_json(request).value()).error().field, "early_stopping");
}

TEST(ProtoJson, RefusesWhatJsonRefuses) {
  gateway::CompletionRequest request;
  request.add_prompt()->set_text(std::string("a\0b", 3));
  const auto nul = proto_to_json(request);
  ASSERT_FALSE(nul.ok());
  EXPECT_EQ(nul.error().field, "prompt");
  gateway::CompletionRequest ids;
  ids.add_prompt()->mutable_token_ids()->add_ids(1000);
  EXPECT_EQ(parse(Endpoint::kCompletions, proto_to_json(ids).value()).error().field, "prompt[0]");
  gateway::CompletionRequest empty;
  empty.add_prompt();
  EXPECT_EQ(parse(Endpoint::kCompletions, proto_to_json(empty).value()).error().field, "prompt");
  gateway::GatewayRequest target;
  EXPECT_FALSE(parse_bounded("\xff\xff\xff", target));
  const std::string bad_utf8 = "\x12\x03\x0a\x01\xff";  // completion { model: "\xff" }
  EXPECT_FALSE(parse_bounded(bad_utf8, target));
}

}  // namespace
}  // namespace caudal
