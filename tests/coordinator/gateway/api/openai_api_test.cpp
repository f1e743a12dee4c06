// The request format: what is accepted and what it becomes.
#include "coordinator/gateway/api/openai_api.h"

#include <gtest/gtest.h>

#include <tuple>

#include "coordinator/gateway/api/chat_input.h"
#include "tests/coordinator/gateway/api/parse_request.h"

namespace caudal {
namespace {

TEST(OpenAiApi, DefaultsAndModelDefaults) {
  SamplingParams defaults;
  defaults.temperature = 0.25F;
  defaults.top_k = 7;
  const auto request = parse_api_request(Endpoint::kCompletions, base(Endpoint::kCompletions), {kVocab, defaults});
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request.value().params.sampling.temperature, 0.25F);
  EXPECT_EQ(request.value().params.sampling.top_k, 7);
  EXPECT_EQ(request.value().num_sequences, 1);
  EXPECT_FALSE(request.value().max_tokens.has_value());
  EXPECT_TRUE(request.value().skip_special_tokens);
}

TEST(OpenAiApi, TakesEveryField) {
  const auto request =
      parse_text(Endpoint::kCompletions, R"({"model":"m","prompt":["a",[1,2]],"max_tokens":5,"min_tokens":1,
      "temperature":0.5,"top_p":0.9,"top_k":-1,"min_p":0.1,"seed":-3,"n":2,"stop":["x","y"],"stop_token_ids":[3],
      "ignore_eos":true,"presence_penalty":-2,"frequency_penalty":2,"repetition_penalty":1.5,
      "logit_bias":{"5":-100,"6":1.5},"logprobs":3,"stream":true,"stream_options":{"include_usage":true},
      "include_stop_str_in_output":true,"skip_special_tokens":false,"priority":-4,"user":"u","best_of":2,"cache_salt":"mine",
      "bad_words":["no"," not"],"speculative":"ngram","deadline_ms":9000,"ttft_target_ms":200,"tpot_target_ms":12.5,
      "metadata":{"a":"b"},"unheard_of":{"x":[1]},"response_format":{"type":"text"},"suffix":null,"temperature_":9})");
  ASSERT_TRUE(request.ok()) << request.error().field << request.error().message;
  const ApiRequest& r = request.value();
  EXPECT_EQ(r.prompts.size(), 2U);
  EXPECT_EQ(std::get<1>(r.prompts[1]), (std::vector<TokenId>{1, 2}));
  EXPECT_EQ(r.max_tokens, 5);
  EXPECT_EQ(r.params.sampling.top_k, 0);
  EXPECT_EQ(r.seed, static_cast<std::uint64_t>(-3));
  EXPECT_EQ(r.stop_strings, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(r.params.sampling.logit_bias.size(), 2U);
  EXPECT_EQ(r.params.sampling.num_logprobs, 3);
  EXPECT_EQ(r.bad_words, (std::vector<std::string>{"no", " not"}));
  EXPECT_EQ(r.cache_salt, "mine");
  EXPECT_EQ(r.params.speculative, SpeculativeMode::kNgram);
  EXPECT_EQ(r.user, "u");
  EXPECT_EQ(r.ignored_fields, (std::vector<std::string>{"unheard_of", "temperature_"}));
  EXPECT_EQ(r.deadline_ms, 9000);
  EXPECT_EQ(r.ttft_target_ms, 200);
  EXPECT_EQ(r.tpot_target_ms, 12.5);
  EXPECT_TRUE(r.stream && r.include_usage && r.include_stop && r.ignore_eos && !r.skip_special_tokens);
}

TEST(OpenAiApi, ChatMessagesTakeTheirTemplateForm) {
  const auto request = parse_text(Endpoint::kChat, R"({"messages":[
      {"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",
        "function":{"name":"f","arguments":"{\"x\":1}"}}]},
      {"role":"tool","tool_call_id":"1","content":"2"}],
      "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],
      "logprobs":true,"top_logprobs":2,"max_completion_tokens":9,"chat_template_kwargs":{"k":1}})");
  ASSERT_TRUE(request.ok()) << request.error().field;
  const ChatInput& chat = *request.value().chat;
  EXPECT_EQ(chat.messages[0].at("content").at(1).at("text").as_string(), "b");
  EXPECT_EQ(chat.messages[1].at("content").as_string(), "");
  EXPECT_EQ(chat.messages[1].at("tool_calls").at(0).at("function").at("arguments").at("x").as_int64(), 1);
  EXPECT_EQ(chat.tools.size(), 1U);
  EXPECT_EQ(request.value().params.sampling.num_logprobs, 2);
  EXPECT_EQ(request.value().max_tokens, 9);
}

TEST(OpenAiApi, ASeedOfMinusOneIsNone) {
  EXPECT_FALSE(parse_text(Endpoint::kCompletions, R"({"prompt":"a","seed":-1})").value().seed.has_value());
  EXPECT_EQ(parse_text(Endpoint::kCompletions, R"({"prompt":"a","seed":0})").value().seed, 0U);
}

TEST(OpenAiApi, ACacheSaltHasALimit) {
  for (const std::size_t size : {256, 257}) {
    const std::string text = R"({"prompt":"a","cache_salt":")" + std::string(size, 's') + "\"}";
    const auto request = parse_text(Endpoint::kCompletions, text.c_str());
    ASSERT_EQ(request.ok(), size <= 256);
    EXPECT_EQ(request.ok() ? "cache_salt" : request.error().field, "cache_salt");
  }
}

struct BadCase {
  Endpoint endpoint;
  const char* body;
  const char* field;
};

TEST(OpenAiApi, RefusesByName) {
  const BadCase cases[] = {
      {Endpoint::kCompletions, "[]", ""},
      {Endpoint::kCompletions, "{}", "prompt"},
      {Endpoint::kCompletions, R"({"prompt":""})", "prompt"},
      {Endpoint::kCompletions, R"({"prompt":[]})", "prompt"},
      {Endpoint::kCompletions, R"({"prompt":{}})", "prompt"},
      {Endpoint::kCompletions, R"({"prompt":[[]]})", "prompt[0]"},
      {Endpoint::kCompletions, R"({"prompt":["a",""]})", "prompt[1]"},
      {Endpoint::kCompletions, R"({"prompt":["a",5]})", "prompt[1]"},
      {Endpoint::kCompletions, R"({"prompt":[1,-1]})", "prompt[1]"},
      {Endpoint::kCompletions, R"({"prompt":[1000]})", "prompt[0]"},
      {Endpoint::kCompletions, R"({"prompt":[4294967295]})", "prompt[0]"},
      {Endpoint::kCompletions, R"({"prompt":[1.5]})", "prompt[0]"},
      {Endpoint::kCompletions, R"({"prompt":"a","model":5})", "model"},
      {Endpoint::kCompletions, R"({"prompt":"a","user":5})", "user"},
      {Endpoint::kCompletions, R"({"prompt":"a","deadline_ms":0})", "deadline_ms"},
      {Endpoint::kCompletions, R"({"prompt":"a","tpot_target_ms":0})", "tpot_target_ms"},
      {Endpoint::kCompletions, R"({"prompt":"a","stop":""})", "stop"},
      {Endpoint::kCompletions, R"({"prompt":"a","stop":["a",""]})", "stop[1]"},
      {Endpoint::kCompletions, R"({"prompt":"a","stop":{}})", "stop"},
      {Endpoint::kCompletions, R"({"prompt":"a","stop_token_ids":[1000]})", "stop_token_ids[0]"},
      {Endpoint::kCompletions, R"({"prompt":"a","stop_token_ids":3})", "stop_token_ids"},
      {Endpoint::kCompletions, R"({"prompt":"a","logit_bias":{"1000":1}})", "logit_bias"},
      {Endpoint::kCompletions, R"({"prompt":"a","logit_bias":{"x":1}})", "logit_bias"},
      {Endpoint::kCompletions, R"({"prompt":"a","logit_bias":{"1":1,"01":1}})", "logit_bias"},
      {Endpoint::kCompletions, R"({"prompt":"a","logit_bias":{"1":101}})", "logit_bias"},
      {Endpoint::kCompletions, R"({"prompt":"a","logit_bias":{"1":"1"}})", "logit_bias"},
      {Endpoint::kCompletions, R"({"prompt":"a","logit_bias":[]})", "logit_bias"},
      {Endpoint::kCompletions, R"({"prompt":"a","bad_words":"x"})", "bad_words"},
      {Endpoint::kCompletions, R"({"prompt":"a","bad_words":{}})", "bad_words"},
      {Endpoint::kCompletions, R"({"prompt":"a","bad_words":["x",""]})", "bad_words[1]"},
      {Endpoint::kCompletions, R"({"prompt":"a","bad_words":["x","  "]})", "bad_words[1]"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"bad_words":[["x"]]})", "bad_words[0]"},
      {Endpoint::kCompletions, R"({"prompt":"a","speculative":"eagle"})", "speculative"},
      {Endpoint::kCompletions, R"({"prompt":"a","speculative":true})", "speculative"},
      {Endpoint::kCompletions, R"({"prompt":"a","suffix":"b"})", "suffix"},
      {Endpoint::kCompletions, R"({"prompt":"a","best_of":2,"n":3})", "best_of"},
      {Endpoint::kCompletions, R"({"prompt":"a","best_of":2,"stream":true})", "best_of"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"best_of":2})", "best_of"},
      {Endpoint::kCompletions, R"({"prompt":"a","cache_salt":""})", "cache_salt"},
      {Endpoint::kCompletions, R"({"prompt":"a","cache_salt":5})", "cache_salt"},
      {Endpoint::kCompletions, R"({"prompt":"a","repetition_penalty":1e-38})", "repetition_penalty"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"repetition_penalty":1e-9})",
       "repetition_penalty"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":1})", "use_beam_search"},
      {Endpoint::kCompletions, R"({"prompt":"a","beam_width":4})", "beam_width"},
      {Endpoint::kCompletions, R"({"prompt":"a","length_penalty":0.5})", "length_penalty"},
      {Endpoint::kCompletions, R"({"prompt":"a","early_stopping":true})", "early_stopping"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"early_stopping":"soon"})", "early_stopping"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"early_stopping":1})", "early_stopping"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"length_penalty":11})", "length_penalty"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"length_penalty":"1"})", "length_penalty"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"beam_width":0})", "beam_width"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"beam_width":33})", "beam_width"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"best_of":33})", "best_of"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"n":33})", "n"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"n":4,"beam_width":3})", "beam_width"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"n":4,"best_of":3})", "best_of"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"beam_width":5,"best_of":4})", "beam_width"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"n":2,"stream":true})", "stream"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"temperature":0.7})", "temperature"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"top_p":0.9})", "top_p"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"top_k":5})", "top_k"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"min_p":0.1})", "min_p"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"presence_penalty":1})", "presence_penalty"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"frequency_penalty":1})", "frequency_penalty"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"repetition_penalty":1.1})",
       "repetition_penalty"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"logit_bias":{"1":1}})", "logit_bias"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"stop":"x"})", "stop"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"speculative":"auto"})", "speculative"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"use_beam_search":true,"n":2,"stream":true})",
       "stream"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"use_beam_search":true,"n":2,"best_of":4})",
       "best_of"},
      {Endpoint::kCompletions, R"({"prompt":"a","stream_options":{}})", "stream_options"},
      {Endpoint::kCompletions, R"({"prompt":"a","stream":true,"stream_options":{"include_usage":1}})",
       "stream_options.include_usage"},
      {Endpoint::kCompletions, R"({"prompt":"a","max_tokens":1,"min_tokens":2})", "min_tokens"},
      {Endpoint::kCompletions, R"({"prompt":"a","max_tokens":0})", "max_tokens"},
      {Endpoint::kCompletions, R"({"prompt":"a","max_tokens":0,"logprobs":1})", "max_tokens"},
      {Endpoint::kCompletions, R"({"prompt":"a","logprobs":-1})", "logprobs"},
      {Endpoint::kCompletions, R"({"prompt":"a","prompt_logprobs":21})", "prompt_logprobs"},
      {Endpoint::kCompletions, R"({"prompt":"a","prompt_logprobs":1,"stream":true})", "prompt_logprobs"},
      {Endpoint::kCompletions, R"({"prompt":"a","logprob_token_ids":[1]})", "logprob_token_ids"},
      {Endpoint::kCompletions, R"({"prompt":"a","detokenize":false,"stop":"x"})", "stop"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"n":2,"prompt_logprobs":1})", "prompt_logprobs"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"n":2,"echo":true,"logprobs":1})", "echo"},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"n":2,"logprobs":1,"logprob_token_ids":[1]})",
       "logprob_token_ids"},
      {Endpoint::kChat, "{}", "messages"},
      {Endpoint::kChat, R"({"messages":[]})", "messages"},
      {Endpoint::kChat, R"({"messages":"a"})", "messages"},
      {Endpoint::kChat, R"({"messages":["a"]})", "messages[0]"},
      {Endpoint::kChat, R"({"messages":[{}]})", "messages[0].role"},
      {Endpoint::kChat, R"({"messages":[{"role":"","content":"a"}]})", "messages[0].role"},
      {Endpoint::kChat, R"({"messages":[{"role":5,"content":"a"}]})", "messages[0].role"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":null}]})", "messages[0].content"},
      {Endpoint::kChat, R"({"messages":[{"role":"assistant","content":null,"reasoning":5}]})", "messages[0].reasoning"},
      {Endpoint::kChat, R"({"messages":[{"role":"user"}]})", "messages[0].content"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":[]}]})", "messages[0].content"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":5}]})", "messages[0].content"},
      {Endpoint::kChat, R"({"messages":[{"role":"assistant"}]})", "messages[0].content"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})",
       "messages[0].content[0].type"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":[{"type":"text","text":1}]}]})",
       "messages[0].content[0].text"},
      {Endpoint::kChat, R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":"x"}}]}]})",
       "messages[0].tool_calls[0].function.name"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"tool_choice":"required"})", "tool_choice"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"tools":[{"type":"code"}]})", "tools[0].type"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"tools":[{}]})", "tools[0].function"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"functions":[{}]})", "functions"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"audio":{}})", "audio"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"top_logprobs":3})", "top_logprobs"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"logprobs":1})", "logprobs"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"chat_template_kwargs":[]})",
       "chat_template_kwargs"},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"continue_final_message":true})",
       "continue_final_message"},
  };
  for (const BadCase& bad : cases) {
    const auto request = parse_text(bad.endpoint, bad.body);
    ASSERT_FALSE(request.ok()) << bad.body;
    EXPECT_EQ(request.error().field, bad.field) << bad.body;
  }
}

TEST(OpenAiApi, BeamSearchTakesItsWidthWhereItFindsIt) {
  struct {
    Endpoint endpoint;
    const char* body;
    std::int32_t width, n;
  } const cases[] = {
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true})", 1, 1},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"n":3})", 3, 3},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"n":2,"best_of":5})", 5, 2},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"beam_width":32})", 32, 1},
      {Endpoint::kCompletions, R"({"prompt":"a","use_beam_search":true,"n":2,"best_of":4,"beam_width":4})", 4, 2},
      {Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],"use_beam_search":true,"n":2,"beam_width":6})",
       6, 2},
  };
  for (const auto& one : cases) {
    const auto request = parse_text(one.endpoint, one.body);
    ASSERT_TRUE(request.ok()) << one.body << request.error().message;
    EXPECT_EQ(request.value().beam.value().width, one.width) << one.body;
    EXPECT_EQ(request.value().num_sequences, one.n);
    EXPECT_EQ(request.value().best_of, one.n) << "that many come back";
  }
  for (const auto& [text, rule] :
       {std::pair("true", EarlyStopping::kYes), {"false", EarlyStopping::kNo}, {"\"never\"", EarlyStopping::kNever}}) {
    const std::string body =
        std::string(R"({"prompt":"a","use_beam_search":true,"n":2,"length_penalty":-0.5,"temperature":1,)") +
        R"("top_p":1,"top_k":-1,"speculative":"off","early_stopping":)" + text + "}";
    const auto request = parse_text(Endpoint::kCompletions, body);
    ASSERT_TRUE(request.ok()) << request.error().field;
    EXPECT_EQ(request.value().beam->early_stopping, rule);
    EXPECT_EQ(request.value().beam->length_penalty, -0.5);
  }
}

TEST(OpenAiApi, AModelsSamplingDefaultsDoNotConcernBeams) {
  SamplingParams defaults;
  defaults.temperature = 0.6F;
  defaults.repetition_penalty = 1.3F;
  const auto value = parse_strict_json(R"({"prompt":"a","use_beam_search":true,"n":2,"logprobs":3})");
  const auto request = parse_api_request(Endpoint::kCompletions, value.value(), {kVocab, defaults});
  ASSERT_TRUE(request.ok());
  EXPECT_TRUE(request.value().params.sampling.greedy());
  EXPECT_FALSE(request.value().params.sampling.has_penalties());
  EXPECT_EQ(request.value().params.sampling.num_logprobs, 3);
}

TEST(OpenAiApi, FieldsOfTheOtherEndpointAreRefusedUnlessTheyChangeNothing) {
  const std::tuple<Endpoint, const char*, const char*, bool> cases[] = {
      {Endpoint::kCompletions, "tools", R"([{"type":"function","function":{"name":"f"}}])", false},
      {Endpoint::kCompletions, "tools", "[]", true},
      {Endpoint::kCompletions, "tool_choice", R"("required")", false},
      {Endpoint::kCompletions, "tool_choice", R"("none")", true},
      {Endpoint::kCompletions, "messages", R"([{"role":"user","content":"a"}])", false},
      {Endpoint::kCompletions, "max_completion_tokens", "5", false},
      {Endpoint::kCompletions, "functions", R"([{"name":"f"}])", false},
      {Endpoint::kChat, "functions", R"([{"name":"f"}])", false},
      {Endpoint::kChat, "functions", "[]", true},
      {Endpoint::kChat, "prompt", R"("a")", false},
      {Endpoint::kChat, "echo", "true", false},
      {Endpoint::kChat, "echo", "false", true},
      {Endpoint::kChat, "unheard_of", "true", true},
  };
  for (const auto& [endpoint, name, value, taken] : cases) {
    json::object body = base(endpoint);
    body[name] = parse_strict_json(value).value();
    const auto request = parse(endpoint, json::value(body));
    ASSERT_EQ(request.ok(), taken) << name << " " << value;
    EXPECT_EQ(taken ? name : request.error().field, name);
  }
}

TEST(OpenAiApi, RangesOfIntegersAreIntegers) {
  for (const auto& [name, range] :
       {std::pair("seed", "at least -9223372036854775808 and at most 9223372036854775807."),
        std::pair("priority", "at least -2147483648 and at most 2147483647."),
        std::pair("tpot_target_ms", "above 0 and at most 86400000."), std::pair("top_p", "above 0 and at most 1.")}) {
    json::object body = base(Endpoint::kCompletions);
    body[name] = "x";
    const auto request = parse(Endpoint::kCompletions, json::value(body));
    ASSERT_FALSE(request.ok());
    EXPECT_NE(request.error().message.find(range), std::string::npos) << request.error().message;
  }
}

TEST(OpenAiApi, PromptsTimesSequencesHaveALimit) {
  for (const char* field : {"n", "best_of"}) {
    for (const auto& [num_prompts, beams, taken] :
         {std::tuple(64, false, true), {65, false, false}, {128, true, true}, {129, true, false}}) {
      json::object body{{"prompt", json::array(static_cast<std::size_t>(num_prompts), "p")}};
      body[field] = beams ? 32 : 64;
      if (beams) body["use_beam_search"] = true;
      const auto request = parse(Endpoint::kCompletions, json::value(body));
      ASSERT_EQ(request.ok(), taken) << field << num_prompts;
      if (!taken) {
        EXPECT_EQ(request.error().field, field);
      }
    }
  }
}

TEST(OpenAiApi, WhatWouldChangeTheAnswerIsNotIgnored) {
  for (const char* field : {"guided_whitespace_pattern", "stop_regex", "lora_path", "truncation_side",
                            "repetition_detection", "kv_transfer_params"}) {
    json::object body = base(Endpoint::kCompletions);
    body[field] = "x";
    const auto request = parse(Endpoint::kCompletions, json::value(body));
    ASSERT_FALSE(request.ok()) << field;
    EXPECT_EQ(request.error().field, field);
    body[field] = nullptr;
    EXPECT_TRUE(parse(Endpoint::kCompletions, json::value(body)).ok()) << field;
  }
  const std::tuple<Endpoint, const char*, const char*, bool> cases[] = {
      {Endpoint::kCompletions, "add_special_tokens", "false", false},
      {Endpoint::kCompletions, "add_special_tokens", "true", true},
      {Endpoint::kChat, "add_special_tokens", "true", false},
      {Endpoint::kChat, "add_special_tokens", "false", true},
      {Endpoint::kChat, "repeat_penalty", "1.1", false},
      {Endpoint::kChat, "repeat_penalty", "1", true},
      {Endpoint::kChat, "repeat_penalty", "1.0", true},
      {Endpoint::kChat, "return_hidden_states", "true", false},
      {Endpoint::kChat, "return_hidden_states", "false", true},
      {Endpoint::kChat, "typical_p", "1.0", true},
      {Endpoint::kChat, "typical_p", "0.9", false}};
  for (const auto& [endpoint, field, value, taken] : cases) {
    json::object body = base(endpoint);
    body[field] = parse_strict_json(value).value();
    EXPECT_EQ(parse(endpoint, json::value(body)).ok(), taken) << field << value;
  }
}

TEST(OpenAiApi, UnknownFieldsAreListedByPlainNames) {
  json::object body = base(Endpoint::kChat);
  body["x y"] = body["a\r\nb"] = body[""] = body[std::string(65, 'x')] = 1;
  body["parallel_tool_calls"] = body["store"] = true;
  body["tools"] = json::array();
  for (int i = 0; i < 20; ++i) body["x_" + std::to_string(i)] = nullptr;
  const std::vector<std::string> ignored = parse(Endpoint::kChat, json::value(body)).value().ignored_fields;
  ASSERT_EQ(ignored.size(), 16U);
  EXPECT_EQ(ignored.front(), "x_0");
  EXPECT_EQ(ignored.back(), "x_15");
}

TEST(OpenAiApi, ListLimitsAreExact) {
  const auto with = [](const char* name, const json::value& value) {
    json::object body = base(Endpoint::kCompletions);
    body[name] = value;
    return parse(Endpoint::kCompletions, json::value(body)).ok();
  };
  EXPECT_TRUE(with("stop", json::array(1024, "s")));
  EXPECT_FALSE(with("stop", json::array(1025, "s")));
  EXPECT_TRUE(with("stop", json::string(1024, 's')));
  EXPECT_FALSE(with("stop", json::string(1025, 's')));
  EXPECT_TRUE(with("bad_words", json::array(128, "s")));
  EXPECT_FALSE(with("bad_words", json::array(129, "s")));
  EXPECT_TRUE(with("bad_words", json::array(1, json::string(256, 's'))));
  EXPECT_FALSE(with("bad_words", json::array(1, json::string(257, 's'))));
  EXPECT_TRUE(with("stop_token_ids", json::array(256, 1)));
  EXPECT_FALSE(with("stop_token_ids", json::array(257, 1)));
  EXPECT_TRUE(with("prompt", json::array(4096, "p")));
  EXPECT_FALSE(with("prompt", json::array(4097, "p")));
  EXPECT_TRUE(with("logprobs", 20));
  EXPECT_FALSE(with("logprobs", 21));
}

}  // namespace
}  // namespace caudal
