// The HTTP gateway over real sockets: answers, streams, framing attacks.
#include <dirent.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <map>
#include <tuple>
#include <vector>

#include "coordinator/gateway/http/http_coding.h"
#include "coordinator/gateway/http/http_response.h"
#include "tests/coordinator/gateway/gateway_fixture.h"
#include "tests/coordinator/gateway/http/http_answers.h"
#include "tests/coordinator/gateway/leaks.h"

namespace caudal {
namespace {

std::size_t num_descriptors() {
  std::size_t count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

using HttpServerTest = GatewayFixture;

TEST_F(HttpServerTest, WhoIsServedAndUntilWhen) {
  service_.set_script({});
  EXPECT_EQ(
      complete(R"({"prompt":"b","user":"u","deadline_ms":5000,"ttft_target_ms":20,"tpot_target_ms":0.0015})").status,
      200);
  const Request asked = service_.submitted().back();
  EXPECT_EQ(asked.tenant, "u");
  EXPECT_EQ(asked.deadline, asked.arrival + 5'000'000);
  EXPECT_EQ(asked.ttft_target_us, 20'000);
  EXPECT_EQ(asked.tpot_target_us, 2) << "not rounded to none";
  service_.set_script({.reject = RejectReason::kHopeless});
  const HttpAnswer late = complete(R"({"prompt":"b","deadline_ms":1})");
  EXPECT_EQ(late.status, 503);
  EXPECT_EQ(parsed(late.body).at("error").at("code").as_string(), "deadline_unreachable");
  service_.set_script({.reject = RejectReason::kUnknownTenant});
  const HttpAnswer stranger = complete(R"({"prompt":"b","user":"x"})");
  EXPECT_EQ(stranger.status, 403);
  EXPECT_EQ(parsed(stranger.body).at("error").at("param").as_string(), "user");
}

TEST_F(HttpServerTest, CompletionWhole) {
  const HttpAnswer answer = complete(R"({"prompt":"abc","logprobs":1,"max_tokens":50})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json::value body = parsed(answer.body);
  EXPECT_EQ(body.at("object").as_string(), "text_completion");
  EXPECT_TRUE(std::string(body.at("id").as_string()).starts_with("cmpl-"));
  const json::value& choice = body.at("choices").at(0);
  EXPECT_EQ(choice.at("text").as_string(), "Hello, world");
  EXPECT_EQ(choice.at("finish_reason").as_string(), "stop");
  EXPECT_EQ(choice.at("logprobs").at("tokens").at(0).as_string(), "H");
  EXPECT_EQ(choice.at("logprobs").at("text_offset").at(2).as_int64(), 2);
  const json::array& tokens = choice.at("logprobs").at("tokens").as_array();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const json::object& top = choice.at("logprobs").at("top_logprobs").at(i).as_object();
    EXPECT_EQ(top.at(tokens[i].as_string()), choice.at("logprobs").at("token_logprobs").at(i)) << i;
    EXPECT_TRUE(top.contains("a") && top.size() <= 2) << "and the most likely one";
  }
  EXPECT_EQ(body.at("usage").at("prompt_tokens").as_int64(), 4);
  EXPECT_EQ(body.at("usage").at("completion_tokens").as_int64(), 13);
  const json::value none = parsed(complete(R"({"prompt":"abc","logprobs":0,"max_tokens":1})").body).at("choices").at(0);
  EXPECT_EQ(none.at("logprobs").at("top_logprobs").at(0).as_object().size(), 1U);
}

TEST_F(HttpServerTest, ChatWholeAndLength) {
  const HttpAnswer answer =
      ask(http_post("/v1/chat/completions", std::string(kChatBody) + R"(,"max_tokens":5,"logprobs":true,"n":2})",
                    "X-Request-Id: my-id.1\r\n"));
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_NE(answer.head.find("X-Request-Id: my-id.1\r\n"), std::string::npos);
  const json::value body = parsed(answer.body);
  EXPECT_EQ(body.at("choices").as_array().size(), 2U);
  EXPECT_EQ(body.at("choices").at(1).at("message").at("content").as_string(), "Hello");
  EXPECT_EQ(body.at("choices").at(1).at("finish_reason").as_string(), "length");
  EXPECT_EQ(body.at("choices").at(0).at("logprobs").at("content").at(0).at("bytes").at(0).as_int64(), 'H');
}

TEST_F(HttpServerTest, ChatStream) {
  service_.set_script({.text = "Grüße 😀", .tokens_per_event = 1});
  const HttpAnswer answer = ask(http_post(
      "/v1/chat/completions", std::string(kChatBody) + R"(,"stream":true,"stream_options":{"include_usage":true}})"));
  ASSERT_EQ(answer.status, 200);
  ASSERT_TRUE(answer.complete);
  EXPECT_NE(answer.head.find("Content-Type: text/event-stream"), std::string::npos);
  const auto events = events_of(answer.body);
  ASSERT_GE(events.size(), 5U);
  EXPECT_EQ(events.front().at("choices").at(0).at("delta").at("role").as_string(), "assistant");
  EXPECT_EQ(events.front().at("object").as_string(), "chat.completion.chunk");
  EXPECT_EQ(events.back().as_string(), "[DONE]");
  const json::value& usage = events[events.size() - 2];
  EXPECT_TRUE(usage.at("choices").as_array().empty());
  EXPECT_GT(usage.at("usage").at("completion_tokens").as_int64(), 5);
  const json::value& end = events[events.size() - 3];
  EXPECT_EQ(end.at("choices").at(0).at("finish_reason").as_string(), "stop");
  EXPECT_TRUE(end.at("choices").at(0).at("delta").as_object().empty());
  std::string text;
  for (std::size_t i = 0; i + 3 < events.size(); ++i) {
    EXPECT_TRUE(events[i].at("choices").at(0).at("finish_reason").is_null());
    EXPECT_TRUE(events[i].at("usage").is_null());
    text += events[i].at("choices").at(0).at("delta").at("content").as_string();
  }
  EXPECT_EQ(text, "Grüße 😀");
}

TEST_F(HttpServerTest, CompletionStreamOverHttp10EndsWithTheConnection) {
  const std::string body = R"({"prompt":"a","stream":true,"max_tokens":100})";
  const HttpAnswer answer = ask("POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: " +
                                std::to_string(body.size()) + "\r\n\r\n" + body);
  ASSERT_EQ(answer.status, 200);
  EXPECT_EQ(answer.head.find("chunked"), std::string::npos);
  EXPECT_EQ(events_of(answer.body).back().as_string(), "[DONE]");
}

TEST_F(HttpServerTest, ConnectionsAreKeptAndPipelined) {
  RawClient client(gateway_->http_port());
  std::string requests;
  for (int i = 0; i < 50; ++i) requests += http_post("/v1/completions", R"({"prompt":"a","max_tokens":3})");
  client.send(requests + "\r\nGET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  for (int i = 0; i < 50; ++i) ASSERT_EQ(client.read_answer().status, 200) << i;
  EXPECT_EQ(client.read_answer().status, 200);
  client.receive();
  EXPECT_TRUE(client.ended());
}

TEST_F(HttpServerTest, HeadExpectAndChunkedBodies) {
  RawClient client(gateway_->http_port());
  client.send("HEAD /live HTTP/1.1\r\nHost: x\r\n\r\n");
  const HttpAnswer head = client.read_answer(false);
  EXPECT_EQ(head.status, 200);
  EXPECT_NE(head.head.find("Content-Length: 17"), std::string::npos);
  client.send(
      "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
      "Content-Length: 14\r\n\r\n");
  ASSERT_TRUE(client.wait_for("100 Continue"));
  client.send(R"({"prompt":"a"})");
  EXPECT_EQ(client.read_answer().status, 200);
  client.send(
      "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; charset=utf-8\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  for (const char c : std::string(R"({"prompt":"a"})")) client.send(std::string("1\r\n") + c + "\r\n");
  client.send("0\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 200);
}

struct BadRequest {
  std::string bytes;
  int status;
};

TEST_F(HttpServerTest, BadRequestsGetTheirStatusAndHurtNobody) {
  const std::string get_head = "GET /live HTTP/1.1\r\nHost: x\r\n";
  const std::string post_head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
  std::string many_fields = get_head;
  for (int i = 0; i < 101; ++i) many_fields += "A" + std::to_string(i) + ": b\r\n";
  std::string trailers = post_head + "Transfer-Encoding: chunked\r\n\r\n0\r\n";
  for (int i = 0; i < 10000; ++i) trailers += "T" + std::to_string(i) + ": x\r\n";
  const BadRequest cases[] = {
      {"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404},
      {"DELETE /v1/models HTTP/1.1\r\nHost: x\r\n\r\n", 405},
      {"GET /v1/completions HTTP/1.1\r\nHost: x\r\n\r\n", 405},
      {"OPTIONS /health HTTP/1.1\r\nHost: x\r\n\r\n", 405},
      {"GET /live HTTP/1.1\r\n\r\n", 400},
      {"GET /live HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
      {"GET /live HTTP/2.0\r\nHost: x\r\n\r\n", 400},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
      {"\x16\x03\x01\x02\n", 400},
      {"GET /live\r\n\r\n", 400},
      {"GET /live HTTP/1.1\nHost: x\n\n", 400},
      {get_head + "A: b\r\n c\r\n\r\n", 400},
      {get_head + "A: b\rc\r\n\r\n", 400},
      {get_head + std::string("A: b\0c\r\n\r\n", 10), 400},
      {get_head + "A : b\r\n\r\n", 400},
      {get_head + "A: " + std::string(8192, 'a') + "\r\n\r\n", 431},
      {get_head + "A: " + std::string(20000, 'a'), 431},
      {get_head + std::string("A: b\r\n") + "B: " + std::string(8000, 'a') + "\r\nC: " + std::string(8000, 'a') +
           "\r\nD: " + std::string(2000, 'a') + "\r\n\r\n",
       431},
      {many_fields + "\r\n", 431},
      {post_head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {post_head + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
      {post_head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
      {post_head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400},
      {post_head + "Content-Length: +2\r\n\r\n{}", 400},
      {post_head + "Content-Length: -2\r\n\r\n{}", 400},
      {post_head + "Content-Length: 2,2\r\n\r\n{}", 400},
      {post_head + "Content-Length: 0x2\r\n\r\n{}", 400},
      {post_head + "Content-Length: 99999999999999999999\r\n\r\n{}", 400},
      {post_head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
      {post_head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
      {post_head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400},
      {post_head + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", 400},
      {post_head + "Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400},
      {post_head + "Transfer-Encoding: chunked\r\n\r\n0x10\r\n\r\n", 400},
      {post_head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}X\r\n0\r\n\r\n", 400},
      {post_head + "Transfer-Encoding: chunked\r\n\r\n1;" + std::string(70000, 'e') + "\r\n", 400},
      {trailers + "\r\n", 400},
      {post_head + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\n", 413},
      {post_head + "Content-Length: 100001\r\n\r\n", 413},
      {post_head + "Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", 415},
      {post_head + "Expect: tea\r\nContent-Length: 2\r\n\r\n{}", 417},
      {"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 415},
      {"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415},
      {http_post("/v1/completions", ""), 400},
      {http_post("/v1/completions", "{"), 400},
      {http_post("/v1/completions", "{}"), 400},
      {http_post("/v1/completions", R"({"prompt":"a","prompt":"b"})"), 400},
      {http_post("/v1/completions", "{\"prompt\":\"\xff\"}"), 400},
      {http_post("/v1/completions", R"({"prompt":"\u0000"})"), 400},
      {http_post("/v1/completions", std::string(50000, '[')), 400},
      {http_post("/v1/completions", R"({"prompt":"a","temperature":1e999})"), 400},
      {http_post("/v1/completions", R"({"prompt":"a","model":"gpt"})"), 404},
      {http_post("/v1/chat/completions", R"({"messages":[]})"), 400},
  };
  const std::size_t before = num_descriptors();
  RawClient bystander(gateway_->http_port());
  for (const BadRequest& bad : cases) {
    const HttpAnswer answer = ask(bad.bytes);
    EXPECT_EQ(answer.status, bad.status) << bad.bytes.substr(0, 200);
    const json::value body = parsed(answer.body);
    EXPECT_TRUE(body.at("error").at("message").is_string());
    EXPECT_FALSE(leaks(answer.body)) << answer.body;
    EXPECT_EQ(answer.head.find("Allow: ") != std::string::npos, bad.status == 405);
    bystander.send("GET /live HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_EQ(bystander.read_answer().status, 200);
  }
  EXPECT_EQ(parsed(complete(R"({"prompt":"a","top_p":7})").body).at("error").at("param").as_string(), "top_p");
  for (int i = 0; i < 100 && num_descriptors() > before + 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_LE(num_descriptors(), before + 2);  // both ends of the bystander
}

TEST_F(HttpServerTest, BodyLimitIsExact) {
  const auto body = [](std::size_t size) {
    std::string text = R"({"prompt":"","x":")";
    return text + std::string(size - text.size() - 2, 'x') + "\"}";
  };
  EXPECT_EQ(complete(body(100'000)).status, 400);  // read: the prompt is empty
  EXPECT_EQ(complete(body(100'001)).status, 413);
  // Chunked: refused at the chunk that crosses, without waiting for its bytes.
  const std::string first = body(99'990);
  const HttpAnswer crossing = ask("POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
                                  std::string("18696\r\n") + first + "\r\nB\r\n");
  EXPECT_EQ(crossing.status, 413);
}

TEST_F(HttpServerTest, BodiesMayBePacked) {
  // {"prompt":"abc","echo":true,"max_tokens":3}, as Python's gzip and zlib pack it.
  const auto bytes = [](std::string_view hex) {
    std::string out;
    for (std::size_t i = 0; i < hex.size(); i += 2)
      out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    return out;
  };
  const std::string gzipped = bytes(
      "1f8b0800000000000203ab562a28cacf2d2851b2524a4c4a56d2514a4dcec857b22a292a4dd551ca4dac882fc9cf4ecd2b56b232ae0500c5"
      "28aa432b000000");
  const std::string zlibbed =
      bytes("789cab562a28cacf2d2851b2524a4c4a56d2514a4dcec857b22a292a4dd551ca4dac882fc9cf4ecd2b56b232ae05003ef70ea2");
  const auto status = [this](const std::string& coding, const std::string& body) {
    return ask(http_post("/v1/completions", body, "Content-Encoding: " + coding + "\r\n")).status;
  };
  const std::string raw = zlibbed.substr(2, zlibbed.size() - 6);
  const HttpAnswer answer = ask(http_post("/v1/completions", gzipped, "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(parsed(answer.body).at("choices").at(0).at("text"), "abcHel") << answer.body;
  EXPECT_EQ(status("x-gzip", gzipped), 200);
  EXPECT_EQ(status("GZIP", gzipped), 200);
  EXPECT_EQ(status("deflate", zlibbed), 200);
  EXPECT_EQ(status("deflate", raw), 200);
  EXPECT_EQ(status("identity", R"({"prompt":"a"})"), 200);
  EXPECT_EQ(status("br", gzipped), 415);
  EXPECT_EQ(status("gzip", R"({"prompt":"a"})"), 400);
  for (std::size_t size = 0; size < gzipped.size(); ++size)
    EXPECT_EQ(status("gzip", gzipped.substr(0, size)), 400) << size;
  for (std::size_t i = 10; i < gzipped.size(); i += 7) {
    std::string damaged = gzipped;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_EQ(status("gzip", damaged), 400) << i;
  }
}

TEST_F(HttpServerTest, WhatABodyUnpacksToHasTheLimitOfBodies) {
  const auto packed = [](std::size_t size) {
    std::string text = R"({"prompt":"","x":")";
    return gzip(text + std::string(size - text.size() - 2, 'x') + "\"}");
  };
  const auto status = [&](std::size_t size) {
    return ask(http_post("/v1/completions", packed(size), "Content-Encoding: gzip\r\n")).status;
  };
  EXPECT_LT(packed(100'000).size(), 1'000U);
  EXPECT_EQ(status(100'000), 400);  // read: the prompt is empty
  EXPECT_EQ(status(100'001), 413);
  EXPECT_EQ(status(50'000'000), 413);
}

TEST_F(HttpServerTest, LargeAnswersArePackedForWhoAsks) {
  const auto metrics = [this](const std::string& accepted) {
    return ask("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: " + accepted + "\r\n\r\n");
  };
  const HttpAnswer plain = metrics("identity");
  for (const char* accepted : {"gzip", "deflate, gzip;q=0.5", "br, *"}) {
    const HttpAnswer answer = metrics(accepted);
    EXPECT_NE(answer.head.find("\r\nContent-Encoding: gzip\r\n"), std::string::npos) << accepted;
    std::string text = answer.body;
    EXPECT_FALSE(unpack_body("gzip", 1 << 20, text));
    EXPECT_GT(text.size(), 4 * answer.body.size());
    EXPECT_EQ(text.substr(0, 100), plain.body.substr(0, 100));
  }
  for (const char* accepted : {"", "gzip;q=0", "*;q=0", "deflate", "gzipped"})
    EXPECT_EQ(metrics(accepted).head.find("Content-Encoding"), std::string::npos) << accepted;
  EXPECT_EQ(ask("GET /live HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n").head.find("gzip"), std::string::npos);
}

TEST_F(HttpServerTest, RefusalsBeforeTheFirstTokenHaveTheirStatusInStreamsToo) {
  service_.set_script({.reject = RejectReason::kQueueFull});
  const HttpAnswer answer = complete(R"({"prompt":"a","stream":true})");
  EXPECT_EQ(answer.status, 429);
  EXPECT_NE(answer.head.find("Retry-After: "), std::string::npos);
}

TEST_F(HttpServerTest, PagesOfAllowedOriginsMayAsk) {
  const auto preflight = [this](const std::string& origin) {
    RawClient client(gateway_->http_port());
    client.send("OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: x\r\nOrigin: " + origin +
                "\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n");
    return client.read_answer(/*has_body=*/false);
  };
  const auto post = [this](const std::string& origin, const std::string& body) {
    return ask(http_post("/v1/completions", body, "Origin: " + origin + "\r\n"));
  };
  EXPECT_EQ(preflight("https://a.example").status, 405) << "unless asked for";
  EXPECT_EQ(post("https://a.example", R"({"prompt":"a"})").head.find("Access-Control"), std::string::npos);
  for (const std::string allowed : {"https://a.example", "*"}) {
    gateway_.reset();
    GatewayConfig config = test_config();
    config.http.allowed_origins = {"https://b.example", allowed};
    start(config);
    const std::string said = "\r\nAccess-Control-Allow-Origin: " + allowed + "\r\n";
    const HttpAnswer before = preflight("https://a.example");
    EXPECT_EQ(before.status, 204);
    EXPECT_NE(before.head.find(said), std::string::npos) << before.head;
    EXPECT_NE(before.head.find("\r\nAccess-Control-Allow-Headers: authorization\r\n"), std::string::npos);
    EXPECT_NE(before.head.find("POST"), std::string::npos);
    EXPECT_EQ(before.head.find("Content-Length"), std::string::npos);
    RawClient terse(gateway_->http_port());
    terse.send("OPTIONS /v1/models HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n\r\n");
    EXPECT_EQ(terse.read_answer(/*has_body=*/false).status, 204);
    for (const char* body : {R"({"prompt":"a"})", R"({"prompt":"a","stream":true})", R"({"prompt":""})"})
      EXPECT_NE(post("https://a.example", body).head.find(said), std::string::npos) << body;
    EXPECT_EQ(preflight("https://c.example").status, allowed == "*" ? 204 : 405);
    EXPECT_EQ(post("https://c.example", R"({"prompt":"a"})").status, 200) << "its page cannot read this unless allowed";
  }
}

TEST_F(HttpServerTest, AStreamThatWaitsShowsSignsOfLife) {
  gateway_.reset();
  GatewayConfig config = test_config();
  config.http.stream_ping = std::chrono::milliseconds(20);
  start(config);
  service_.set_script({.silent = true});
  RawClient client(gateway_->http_port());
  client.send(http_post("/v1/completions", R"({"prompt":"a","stream":true})"));
  EXPECT_TRUE(client.wait_for("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(client.wait_for(": waiting\n\n\r\nb\r\n: waiting\n\n"));
  EXPECT_EQ(client.buffer().find("data:"), std::string::npos);
  client.close();
  EXPECT_TRUE(service_.wait_for_cancel());
  service_.set_script({.text = "ab", .pause = std::chrono::milliseconds(50)});
  const HttpAnswer answer = complete(R"({"prompt":"a","stream":true})");
  EXPECT_TRUE(answer.complete);
  EXPECT_NE(answer.body.find(": waiting\n\ndata: "), std::string::npos) << answer.body;
  EXPECT_EQ(parsed(complete(R"({"prompt":"a"})").body).at("choices").at(0).at("text"), "ab")
      << "whole answers have none";
}

TEST_F(HttpServerTest, AnswersTellTheTime) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(http_date(951827696), "Tue, 29 Feb 2000 12:34:56 GMT");
  for (const char* body : {R"({"prompt":"a"})", R"({"prompt":"a","stream":true})", "x"})
    EXPECT_NE(complete(body).head.find("\r\nDate: "), std::string::npos);
}

TEST_F(HttpServerTest, TheRunningUsageIsThatOfTheChoice) {
  const auto events_with = [this](const std::string& options) {
    return events_of(
        ask(http_post("/v1/chat/completions", std::string(kChatBody) + R"(,"stream":true,"n":2,"max_tokens":3,)" +
                                                  R"("stream_options":)" + options + "}"))
            .body);
  };
  std::map<std::int64_t, std::int64_t> last;  // tokens of a choice
  for (const json::value& event : events_with(R"({"include_usage":true,"continuous_usage_stats":true})")) {
    if (!event.is_object() || event.at("choices").as_array().empty()) continue;
    const json::value& choice = event.at("choices").at(0);
    const json::value& usage = event.at("usage");
    const std::int64_t index = choice.at("index").as_int64();
    const std::int64_t tokens = usage.at("completion_tokens").as_int64();
    EXPECT_EQ(last.contains(index), !choice.at("delta").as_object().contains("role"));
    if (!last.contains(index)) {
      EXPECT_EQ(tokens, 0);
    }
    EXPECT_LE(last[index], tokens);
    EXPECT_EQ(usage.at("total_tokens").as_int64(), usage.at("prompt_tokens").as_int64() + tokens);
    last[index] = tokens;
  }
  EXPECT_EQ(last, (std::map<std::int64_t, std::int64_t>{{0, 3}, {1, 3}}));
  for (const json::value& event : events_with(R"({"continuous_usage_stats":true})"))
    EXPECT_TRUE(!event.is_object() || !event.as_object().contains("usage")) << "it goes with include_usage";
}

TEST_F(HttpServerTest, FieldsThatAreIgnoredAreNamed) {
  const std::string named = "\r\nX-Ignored-Fields: tempreature, x\r\n";
  EXPECT_NE(complete(R"({"prompt":"a","tempreature":0,"x":1})").head.find(named), std::string::npos);
  EXPECT_NE(complete(R"({"prompt":"a","tempreature":0,"x":1,"stream":true})").head.find(named), std::string::npos);
  EXPECT_EQ(complete(R"({"prompt":"a","metadata":{}})").head.find("X-Ignored"), std::string::npos);
  EXPECT_NE(get("/metrics").body.find("\ncaudal:ignored_request_fields_total{model_name=\"byte-model\"} 4\n"),
            std::string::npos);
}

TEST_F(HttpServerTest, ARequestMayBringItsId) {
  const char* const body = R"({"prompt":"a","request_id":"mine \"1\""})";
  EXPECT_EQ(parsed(complete(body).body).at("id"), "cmpl-mine \"1\"");
  const auto events = events_of(complete(R"({"prompt":"a","request_id":"r","stream":true})").body);
  EXPECT_EQ(events.front().at("id"), "cmpl-r");
  EXPECT_NE(parsed(complete(R"({"prompt":"a"})").body).at("id"), parsed(complete(R"({"prompt":"a"})").body).at("id"));
}

TEST_F(HttpServerTest, EveryAnswerHasTheFingerprintOfTheModel) {
  const json::value whole = parsed(complete(R"({"prompt":"a"})").body);
  const std::string fingerprint(whole.at("system_fingerprint").as_string());
  EXPECT_EQ(fingerprint.size(), 15U);
  EXPECT_TRUE(fingerprint.starts_with("fp_"));
  for (const json::value& event : events_of(complete(R"({"prompt":"a","stream":true})").body))
    EXPECT_TRUE(!event.is_object() || event.at("system_fingerprint") == whole.at("system_fingerprint"));
}

TEST_F(HttpServerTest, APortInUseIsAnError) {
  GatewayConfig config = test_config();
  config.http.port = gateway_->http_port();
  const auto second = try_to_start(config);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().field, "port");
}

TEST_F(HttpServerTest, ManyStreamsAtOnceAreAllWhole) {
  service_.set_script({.text = "The quick brown fox", .pause = std::chrono::microseconds(200)});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 64; ++i) {
    clients.push_back(std::make_unique<RawClient>(gateway_->http_port()));
    clients.back()->send(http_post("/v1/completions", R"({"prompt":"a","stream":true,"max_tokens":100})"));
  }
  for (const auto& client : clients) {
    const HttpAnswer answer = client->read_answer();
    ASSERT_TRUE(answer.complete);
    std::string text;
    for (const json::value& event : events_of(answer.body)) {
      if (event.is_object()) text += event.at("choices").at(0).at("text").as_string();
    }
    ASSERT_EQ(text, "The quick brown fox");
  }
}

}  // namespace
}  // namespace caudal
