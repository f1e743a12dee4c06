// What is served where over HTTP, but for generations: models, health, load, tokens of texts; targets in all their
// forms.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <tuple>
#include <vector>

#include "tests/coordinator/gateway/gateway_fixture.h"
#include "tests/coordinator/gateway/http/http_answers.h"

namespace caudal {
namespace {

using HttpRoutesTest = GatewayFixture;

TEST_F(HttpRoutesTest, SmallRoutes) {
  EXPECT_EQ(parsed(get("/v1/models").body).at("data").at(0).at("id").as_string(), "byte-model");
  EXPECT_EQ(parsed(get("/v1/models/byte-model").body).at("id").as_string(), "byte-model");
  EXPECT_EQ(parsed(get("/v1/models/byte%2Dmodel?x=1").body).at("id").as_string(), "byte-model");
  EXPECT_EQ(parsed(get("/v1/models").body).at("data").at(0).at("max_model_len"), 2000);
  service_.set_max_context(512);  // the replicas' caches hold no more
  EXPECT_EQ(parsed(get("/v1/models/byte-model").body).at("max_model_len"), 512);
  for (const char* name : {"other", "byte-model/x", "byte%2", "byte-model%00"}) {
    EXPECT_EQ(get(std::string("/v1/models/") + name).status, 404) << name;
  }
  EXPECT_TRUE(parsed(get("/version").body).as_object().contains("version"));
  EXPECT_EQ(get("/live").status, 200);
  EXPECT_EQ(get("/health").status, 200);
  service_.set_ready(false);
  EXPECT_EQ(get("/health").status, 503);
  EXPECT_EQ(get("/live").status, 200);
  const HttpAnswer metrics = get("/metrics?x=1");
  EXPECT_NE(metrics.head.find("text/plain; version=0.0.4"), std::string::npos);
  EXPECT_NE(metrics.body.find("vllm:num_requests_waiting"), std::string::npos);
}

json::value told(const HttpAnswer& answer) {
  EXPECT_EQ(answer.status, 200) << answer.body;
  return parsed(answer.body);
}

TEST_F(HttpRoutesTest, TokensOfTexts) {
  const json::value plain = told(post_to("/tokenize", R"({"prompt":"ab","return_token_strs":true})"));
  EXPECT_EQ(json::serialize(plain.at("tokens")), fmt::format("[{},97,98]", ByteTokenizer::kBos));
  EXPECT_EQ(plain.at("count"), 3);
  EXPECT_EQ(plain.at("max_model_len"), 2000);
  EXPECT_EQ(plain.at("token_strs").as_array().size(), 3U);
  EXPECT_EQ(
      json::serialize(told(post_to("/v1/tokenize", R"({"prompt":"ab","add_special_tokens":false})")).at("tokens")),
      "[97,98]");
  EXPECT_EQ(json::serialize(told(post_to("/tokenize", R"({"content":"ab"})")).at("tokens")), "[97,98]");
  const json::value chat = told(post_to("/tokenize", R"({"messages":[{"role":"user","content":"ab"}]})"));
  EXPECT_EQ(chat.at("tokens").as_array().size(), 6U) << "as the template writes it";
  EXPECT_TRUE(chat.at("token_strs").is_null());
  EXPECT_EQ(told(post_to("/detokenize", R"({"tokens":[97,98]})")).at("prompt").as_string(), "ab");
  service_.set_ready(false);
  EXPECT_EQ(post_to("/tokenize", R"({"prompt":"ab"})").status, 200) << "it needs no replica";
  EXPECT_EQ(get("/ready").status, 503);
}

TEST_F(HttpRoutesTest, TokensOfTextsAreRefusedByName) {
  for (const auto& [path, body, status, field] :
       {std::tuple("/tokenize", R"({})", 400, "prompt"),
        {"/tokenize", R"([])", 400, ""},
        {"/tokenize", R"({"prompt":"a","add_special_tokens":1})", 400, "add_special_tokens"},
        {"/tokenize", R"({"prompt":["a","b"]})", 400, "prompt"},
        {"/tokenize", R"({"messages":5})", 400, "messages"},
        {"/tokenize", R"({"prompt":"a","model":"other"})", 404, "model"},
        {"/detokenize", R"({})", 400, "tokens"},
        {"/detokenize", R"({"tokens":[99999]})", 400, "tokens[0]"},
        {"/detokenize", R"({"tokens":["a"]})", 400, "tokens[0]"},
        {"/detokenize", "{", 400, ""}}) {
    const HttpAnswer answer = post_to(path, body);
    EXPECT_EQ(answer.status, status) << body;
    const json::value param = parsed(answer.body).at("error").at("param");
    EXPECT_EQ(param.is_null() ? "" : std::string(param.as_string()), field) << body;
  }
}

class TwoModelsTest : public GatewayFixture {
 protected:
  void SetUp() override {
    ModelRegistry registry({.name = "byte-model"});
    registry.add({.name = "small"});
    std::vector<ModelContext> contexts = only(byte_model());
    contexts.push_back(byte_model());
    contexts.back().served_name = "small";
    contexts.back().card.vocab_size = 100;
    contexts.back().card.default_sampling.temperature = 0.25F;
    auto started = Gateway::start(test_config(), registry, std::move(contexts), service_, metrics_);
    ASSERT_TRUE(started.ok()) << started.error().message;
    gateway_ = std::move(started).value();
    service_.set_max_context(1000, 0);
    service_.set_max_context(50, 1);
  }
};

TEST_F(TwoModelsTest, AreListedEachWithItsContext) {
  const json::value list = parsed(get("/v1/models").body).at("data");
  ASSERT_EQ(list.as_array().size(), 2U);
  EXPECT_EQ(list.at(0).at("id"), "byte-model");
  EXPECT_EQ(list.at(0).at("max_model_len"), 1000);
  EXPECT_EQ(list.at(1).at("id"), "small");
  EXPECT_EQ(list.at(1).at("max_model_len"), 50);
  EXPECT_EQ(parsed(get("/v1/models/small").body), list.at(1));
  EXPECT_EQ(parsed(get("/v1/models/byte-model").body), list.at(0));
  EXPECT_EQ(get("/v1/models/third").status, 404);
}

TEST_F(TwoModelsTest, ARequestGetsTheModelThatItNames) {
  for (const auto& [body, model, temperature] : {std::tuple(R"({"prompt":"a"})", ModelId{0}, 1.0F),
                                                 {R"({"prompt":"a","model":"byte-model"})", ModelId{0}, 1.0F},
                                                 {R"({"prompt":"a","model":"small"})", ModelId{1}, 0.25F}}) {
    const HttpAnswer answer = complete(body);
    ASSERT_EQ(answer.status, 200) << body;
    EXPECT_EQ(parsed(answer.body).at("model"), model == 0 ? "byte-model" : "small");
    EXPECT_EQ(service_.submitted().back().model, model) << body;
    EXPECT_EQ(service_.submitted().back().params.sampling.temperature, temperature) << body;
  }
  EXPECT_EQ(complete(R"({"prompt":"a","model":"third"})").status, 404);
}

TEST_F(TwoModelsTest, LimitsAreThoseOfTheModel) {
  const std::string sixty(60, 'x');
  EXPECT_EQ(complete(R"({"prompt":")" + sixty + "\"}").status, 200);
  EXPECT_EQ(complete(R"({"model":"small","prompt":")" + sixty + "\"}").status, 400);
  EXPECT_EQ(complete(R"({"prompt":[200]})").status, 200);
  const HttpAnswer answer = complete(R"({"model":"small","prompt":[200]})");
  EXPECT_EQ(answer.status, 400) << "no token of that model";
  EXPECT_EQ(parsed(answer.body).at("error").at("param"), "prompt[0]");
}

TEST_F(HttpRoutesTest, Load) {
  LoadReport report;
  report.ready = true;
  report.num_waiting = 7;
  report.queue_wait = {.count = 3, .p50_us = 1'000'000, .p90_us = 2'000'000, .p99_us = 3'000'000};
  report.replicas.push_back({.id = 4, .stats = {}});
  report.tenants = {{.name = "a", .weight = 3}, {.name = ""}};
  report.num_refused[static_cast<std::size_t>(RejectReason::kHopeless)] = 5;
  service_.set_load(report);
  const auto load = parsed(get("/load").body);
  EXPECT_EQ(load.at("server_load").as_int64(), 7) << "running and waiting, as vLLM names it";
  EXPECT_EQ(load.at("waiting").as_int64(), 7);
  EXPECT_EQ(load.at("queue_wait_s").at("p90").as_double(), 2.0);
  EXPECT_EQ(load.at("replicas").at(0).at("id").as_int64(), 4);
  EXPECT_EQ(load.at("tenants").at(0).at("weight").as_int64(), 3);
  EXPECT_TRUE(load.at("tenants").at(1).at("name").is_null());
  EXPECT_EQ(load.at("refused").at("deadline_unreachable").as_int64(), 5);
  EXPECT_EQ(load.at("refused").as_object().size(), kNumRejectReasons - 1);
}

TEST_F(HttpRoutesTest, TargetsComeInManyForms) {
  for (const char* target :
       {"/v1/models", "/v1/models/", "/models", "/models/", "/v1/models?x=1", "http://x/v1/models",
        "HTTP://x:80/v1/models/?x", "https://x/models", "/v1/models/byte-model", "/models/byte-model/"})
    EXPECT_EQ(get(target).status, 200) << target;
  for (const char* target :
       {"/", "//", "http://x", "/v2/models", "/v1/v1/models", "/health/x", "ftp://x/v1/models", "/v1"})
    EXPECT_EQ(get(target).status, 404) << target;
  for (const char* path : {"/completions", "/v1/completions/", "http://x/v1/completions"})
    EXPECT_EQ(ask(http_post(path, R"({"prompt":"a"})")).status, 200) << path;
  EXPECT_EQ(get("/completions").status, 405);
  EXPECT_EQ(get("/ping").status, 200);
  EXPECT_EQ(ask(http_post("/ping", "")).status, 200);
  service_.set_ready(false);
  EXPECT_EQ(get("/ping").status, 503);
}

}  // namespace
}  // namespace caudal
