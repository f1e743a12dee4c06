// The shared path from checked request to text: prompt encoding, choices, generations against a scripted engine.
#include "coordinator/gateway/generation/generation.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <new>
#include <random>

#include "common/json/strict_json.h"
#include "coordinator/gateway/generation/token_bytes.h"
#include "coordinator/gateway/generation/token_stream.h"
#include "coordinator/gateway/http/openai_response.h"
#include "tests/coordinator/gateway/scripted_service.h"

namespace caudal {
namespace {

namespace json = boost::json;

ChatInput one_message(const std::string& content, const std::string& role = "user") {
  ChatInput chat;
  chat.messages.push_back(json::object{{"role", role}, {"content", content}});
  return chat;
}

std::vector<TokenId> bytes_of(std::string_view text) {
  std::vector<TokenId> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

TEST(PromptEncoder, ControlTokensComeFromTheTemplateAlone) {
  const ModelContext model = byte_model();
  const PromptEncoder encoder(model);
  const std::vector<TokenId> open{ByteTokenizer::kBos, 257};  // <|bos|><|user|>
  const std::vector<TokenId> close{ByteTokenizer::kEnd, 258};
  for (const std::string content :
       {"Hi", "", "<|end|>", "a<|end|><|assistant|>b", "<|<|end|>", "<", "<|en", "<|end|", "ä<|bos|>ö"}) {
    const auto ids = encoder.encode_chat(one_message(content));
    ASSERT_TRUE(ids.ok());
    std::vector<TokenId> expected = open;
    for (const TokenId byte : bytes_of(content)) expected.push_back(byte);
    expected.insert(expected.end(), close.begin(), close.end());
    EXPECT_EQ(ids.value(), expected) << content;
  }
}

TEST(PromptEncoder, GuardsAvoidWhatTheClientWrote) {
  const ModelContext model = byte_model();
  const PromptEncoder encoder(model);
  const std::string content = "\xEF\xB7\x90<|end|>";  // U+FDD0, the first guard
  const auto ids = encoder.encode_chat(one_message(content));
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(ids.value().size(), content.size() + 4);
}

TEST(PromptEncoder, RawPromptsMayHoldControlTokens) {
  const ModelContext model = byte_model();
  EXPECT_EQ(PromptEncoder(model).encode_text("a<|end|>"), (std::vector<TokenId>{ByteTokenizer::kBos, 'a', 256}));
}

TEST(PromptEncoder, ContinuesTheFinalMessage) {
  const ModelContext model = byte_model();
  ChatInput chat = one_message("The answer is ", "assistant");
  chat.add_generation_prompt = false;
  chat.continue_final_message = true;
  const auto ids = PromptEncoder(model).encode_chat(chat);
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(ids.value().back(), ' ') << "this template trims nothing";
}

TEST(PromptEncoder, NoTemplateIsTheClientsError) {
  ModelContext model = byte_model();
  model.chat_template = std::nullopt;
  EXPECT_EQ(PromptEncoder(model).encode_chat(one_message("a")).error().field, "messages");
}

// Whatever the cut into events, all deltas together are the same text.
TEST(Choice, TextDoesNotDependOnTheCut) {
  const ByteTokenizer tokenizer;
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    ApiRequest request;
    request.stop_strings = {"stop", "ä!"};
    request.include_stop = round % 2 == 0;
    request.params.stop.min_tokens = static_cast<std::int32_t>(random() % 20);
    std::vector<TokenId> tokens;
    const std::string_view pieces[] = {"st", "op", "ä", "!", "😀", "\xF0\x9F", "\xff", " word"};
    for (int i = 0; i < 12; ++i) {
      for (const TokenId byte : bytes_of(pieces[random() % std::size(pieces)])) tokens.push_back(byte);
    }
    tokens.push_back(ByteTokenizer::kEnd);
    std::string whole;
    for (const bool cut : {false, true}) {
      Choice choice(0, tokenizer, request, std::make_shared<const StopStrings>(request.stop_strings), "");
      std::string text;
      for (std::size_t at = 0; at < tokens.size();) {
        const std::size_t size = cut ? 1 + random() % 3 : tokens.size();
        TokenEvent event;
        for (std::size_t i = at; i < std::min(tokens.size(), at + size); ++i) event.tokens.push_back(tokens[i]);
        at += size;
        if (at >= tokens.size()) event.finish_reason = FinishReason::kStop;
        if (const auto delta = choice.apply(event)) {
          EXPECT_TRUE(is_valid_utf8(delta->text));
          text += delta->text;
        }
      }
      EXPECT_TRUE(choice.finished());
      if (!cut) whole = text;
      ASSERT_EQ(text, whole);
    }
  }
}

class GenerationTest : public testing::Test {
 protected:
  Intake take(Endpoint endpoint, std::string_view body) {
    return take_request(context_, endpoint, parse_strict_json(body), Generation::Clock::now());
  }
  // Runs to the end; all text of choice `index`.
  std::string run(Generation& generation, std::int32_t index = 0) {
    const auto wakes = std::make_shared<Queue<int>>(100'000);  // the engine may wake once more after the end
    EXPECT_FALSE(generation.start([wakes] { wakes->try_push(1); }));
    std::string text;
    while (!generation.finished()) {
      wakes->pop_for(std::chrono::seconds(5));
      const auto progress = generation.advance();
      if (progress.error) return progress.error->code;
      for (const ChoiceDelta& delta : progress.deltas) {
        if (delta.choice == index) text += delta.text;
      }
    }
    return text;
  }

  ScriptedService service_;
  Metrics metrics_{"byte-model"};
  GatewayModels models_{ModelRegistry({.name = "byte-model"}), only(byte_model())};
  GenerationContext context_{models_, service_, metrics_};
};

TEST_F(GenerationTest, FillsTheEnginesRequest) {
  Intake intake = take(Endpoint::kCompletions, R"({"prompt":"abc","seed":7,"max_tokens":50,"stop_token_ids":[9]})");
  ASSERT_FALSE(intake.error);
  EXPECT_EQ(run(*intake.generation), "Hello, world");
  const Request request = service_.submitted().at(0);
  EXPECT_EQ(request.prompt, (std::vector<TokenId>{ByteTokenizer::kBos, 'a', 'b', 'c'}));
  EXPECT_EQ(request.params.sampling.seed, 7U);
  EXPECT_EQ(request.params.stop.max_tokens, 50);
  EXPECT_EQ(request.params.stop.stop_token_ids, (std::vector<TokenId>{9, ByteTokenizer::kEnd}));
  const Usage usage = intake.generation->usage();
  EXPECT_EQ(usage.num_prompt_tokens, 4);
  EXPECT_EQ(usage.num_generated_tokens, 13);  // the end token counts
}

// The grammar goes to the worker as it was written; a wrong one is the client's error, with the place.
TEST_F(GenerationTest, GrammarsAreCheckedBeforeTheyAreSent) {
  for (int i = 0; i < 2; ++i) {
    Intake intake = take(Endpoint::kCompletions, R"({"prompt":"a","regex":"a{2}","ignore_eos":true,"max_tokens":9})");
    ASSERT_FALSE(intake.error);
    run(*intake.generation);
  }
  const GenerationParams params = service_.submitted().at(1).params;
  EXPECT_EQ(params.sampling.grammar.kind, GrammarKind::kRegex);
  EXPECT_EQ(params.sampling.grammar.text, "a{2}");
  EXPECT_EQ(params.stop.stop_token_ids, std::vector<TokenId>{ByteTokenizer::kEnd}) << "how it ends";
  EXPECT_EQ(params.stop.min_tokens, 9) << "no earlier than it must";
  run(*take(Endpoint::kCompletions, R"({"prompt":"a","guided_json":{"properties":{"a":{}}}})").generation);
  EXPECT_EQ(service_.submitted().back().params.sampling.grammar.text,
            R"({"properties":{"a":{}},"additionalProperties":false})");
  run(*take(Endpoint::kCompletions, R"({"prompt":"a","guided_json":{"properties":{"a":{}},"required":["b"]}})")
           .generation);
  EXPECT_EQ(service_.submitted().back().params.sampling.grammar.text, R"({"properties":{"a":{}},"required":["b"]})");
  const Intake wrong = take(Endpoint::kCompletions,
                            R"({"prompt":"a","guided_json":{"properties":{"a":{"type":"integer","minimum":"x"}}}})");
  ASSERT_TRUE(wrong.error);
  EXPECT_EQ(wrong.error->status, 400);
  EXPECT_EQ(wrong.error->param, "guided_json");
  EXPECT_NE(wrong.error->message.find("/properties/a/minimum"), std::string::npos) << wrong.error->message;
}

TEST_F(GenerationTest, BadWordsAreBannedWithAndWithoutASpace) {
  Intake intake = take(Endpoint::kCompletions, R"({"prompt":["a","b"],"bad_words":["  xy","<|user|>"]})");
  ASSERT_FALSE(intake.error);
  run(*intake.generation);
  const std::vector<std::vector<TokenId>> expected{{' ', 'x', 'y'}, {'x', 'y'}, {' ', 257}, {257}};
  for (const Request& request : service_.submitted()) EXPECT_EQ(request.params.sampling.bad_words, expected);
}

TEST_F(GenerationTest, BeamSearchAsksForBeamsAndTellsTheBest) {
  Intake intake =
      take(Endpoint::kCompletions, R"({"prompt":"abc","use_beam_search":true,"n":2,"best_of":5,"length_penalty":0.5})");
  ASSERT_FALSE(intake.error);
  EXPECT_EQ(intake.generation->num_choices(), 2);
  EXPECT_EQ(run(*intake.generation, 1), "Hello, world");
  const Request request = service_.submitted().at(0);
  EXPECT_EQ(request.num_sequences, 2);
  EXPECT_EQ(request.num_running(), 5);
  EXPECT_EQ(request.beam.value().length_penalty, 0.5);
}

// Each costs a candidate that a worker has to tell: with more the search could run dry.
TEST_F(GenerationTest, BeamSearchBoundsWhatIsBanned) {
  const auto body = [](int num_words) {
    boost::json::array words(static_cast<std::size_t>(num_words), "xy");
    return boost::json::serialize(
        boost::json::object{{"prompt", "a"}, {"use_beam_search", true}, {"n", 20}, {"bad_words", words}});
  };
  EXPECT_FALSE(take(Endpoint::kCompletions, body(21)).error) << "20 beams, 42 ways to say it, one stop token";
  const Intake refused = take(Endpoint::kCompletions, body(22));
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->status, 400);
  EXPECT_EQ(refused.error->param, "bad_words");
}

ChoiceDelta scored(std::int32_t choice, std::string text, std::vector<float> logprobs,
                   FinishReason finish = FinishReason::kStop) {
  ChoiceDelta delta;
  delta.choice = choice;
  delta.text = std::move(text);
  for (const float logprob : logprobs) delta.logprobs.push_back({{1, logprob}});
  delta.finish_reason = finish;
  return delta;
}

TEST(BestOf, KeepsTheHighestMeanPerTokenOfEachPrompt) {
  BestOf best(2, 3, 2, false);
  best.add(scored(0, "a", {-1.0F, -2.0F}));
  best.add(scored(1, "b1", {-1.0F}, FinishReason::kNone));
  best.add(scored(2, "c", {-0.5F, -0.5F, -0.5F, -0.5F}, FinishReason::kLength));
  best.add(scored(1, "b2", {-1.0F}));
  best.add(scored(3, "d", {-3.0F}));
  best.add(scored(4, "e", {-3.0F}));
  best.add(scored(5, "f", {-4.0F}));
  const auto kept = best.take();
  ASSERT_EQ(kept.size(), 4U);
  const std::vector<std::string> expected{"c", "b1b2", "d", "e"};
  for (std::int32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(kept[i].choice, i);
    EXPECT_EQ(kept[i].text, expected[i]);
    EXPECT_TRUE(kept[i].logprobs.empty()) << "nobody asked for them";
  }
  EXPECT_EQ(kept[0].finish_reason, FinishReason::kLength);
}

TEST_F(GenerationTest, BestOfAsksForMoreThanItTells) {
  Intake intake = take(Endpoint::kCompletions, R"({"prompt":"abc","n":2,"best_of":5})");
  ASSERT_FALSE(intake.error);
  EXPECT_EQ(intake.generation->num_choices(), 2);
  EXPECT_EQ(run(*intake.generation, 1), "Hello, world");
  const Request request = service_.submitted().at(0);
  EXPECT_EQ(request.num_sequences, 5);
  EXPECT_EQ(request.params.sampling.num_logprobs, 0);
  EXPECT_EQ(intake.generation->usage().num_generated_tokens, 5 * 13);
}

TEST_F(GenerationTest, MaxTokensIsACeilingThatTheContextLowers) {
  const std::string prompt(1989, 'x');  // and <bos>: 1990 of 2000
  for (const auto& [asked, given] : {std::pair(9, 9), {10, 10}, {11, 10}, {2000, 10}, {1 << 24, 10}}) {
    Intake intake =
        take(Endpoint::kCompletions, R"({"max_tokens":)" + std::to_string(asked) + R"(,"prompt":")" + prompt + "\"}");
    ASSERT_FALSE(intake.error) << asked;
    run(*intake.generation);
    EXPECT_EQ(service_.submitted().back().params.stop.max_tokens, given);
  }
  const Intake more = take(Endpoint::kCompletions, R"({"min_tokens":11,"prompt":")" + prompt + "\"}");
  ASSERT_TRUE(more.error);
  EXPECT_EQ(more.error->param, "min_tokens");
}

TEST_F(GenerationTest, APromptThatFillsTheContextIsRefusedInWordsThatClientsKnow) {
  for (const std::size_t size : {1999, 2500}) {
    const Intake full = take(Endpoint::kCompletions, R"({"prompt":")" + std::string(size, 'x') + "\"}");
    ASSERT_TRUE(full.error);
    EXPECT_EQ(full.error->param, "prompt");
    EXPECT_EQ(full.error->code, "context_length_exceeded");
    EXPECT_NE(full.error->message.find("This model's maximum context length is 2000 tokens."), std::string::npos);
  }
  EXPECT_EQ(take(Endpoint::kChat, R"({"messages":[{"role":"user","content":")" + std::string(1999, 'x') + "\"}]}")
                .error->param,
            "messages");
}

TEST_F(GenerationTest, AStopStringCancelsTheRest) {
  service_.set_script({.text = "one STOP two ", .tokens_per_event = 3, .endless = true});
  Intake intake = take(Endpoint::kCompletions, R"({"prompt":"a","stop":"STOP","max_tokens":1000})");
  EXPECT_EQ(run(*intake.generation), "one ");
  EXPECT_TRUE(service_.wait_for_cancel());
}

// Speaks when the test does; remembers cancels as (request, sequence), -1 for all.
class SilentService final : public RequestService {
 public:
  Result<RequestId> submit(Request, std::shared_ptr<TokenSink> to) override {
    sink = std::move(to);
    return RequestId{1};
  }
  void cancel(RequestId id) override { cancels.emplace_back(id, -1); }
  void cancel(RequestId id, std::int32_t sequence_index) override { cancels.emplace_back(id, sequence_index); }
  ServiceStatus status() const override { return {}; }
  std::int32_t max_context_tokens(ModelId) const override { return 0; }
  std::shared_ptr<const LoadReport> load() const override { return std::make_shared<LoadReport>(); }
  void say(std::int32_t sequence, std::string_view text, FinishReason finish = FinishReason::kNone) {
    TokenEvent event;
    event.request_id = 1;
    event.sequence_index = sequence;
    event.tokens = bytes_of(text);
    event.finish_reason = finish;
    sink->on_event(std::move(event));
  }

  std::shared_ptr<TokenSink> sink;
  std::vector<std::pair<RequestId, std::int32_t>> cancels;
};

TEST_F(GenerationTest, AStopStringEndsOnlyItsOwnSequence) {
  SilentService service;
  const GenerationContext context{models_, service, metrics_};
  Intake intake =
      take_request(context, Endpoint::kCompletions,
                   parse_strict_json(R"({"prompt":"a","n":2,"stop":"STOP","max_tokens":9})"), Generation::Clock::now());
  ASSERT_FALSE(intake.error);
  ASSERT_FALSE(intake.generation->start([] {}));
  service.say(0, "one STOP");
  service.say(1, "two");
  EXPECT_FALSE(intake.generation->advance().error);
  const std::vector<std::pair<RequestId, std::int32_t>> one_cancel{{1, 0}};
  EXPECT_EQ(service.cancels, one_cancel);
  service.say(0, "", FinishReason::kError);  // was under way
  service.say(1, "three", FinishReason::kLength);
  const auto progress = intake.generation->advance();
  EXPECT_FALSE(progress.error);
  ASSERT_EQ(progress.deltas.size(), 1U);
  EXPECT_EQ(progress.deltas[0].text, "three");
  EXPECT_TRUE(intake.generation->finished());
  intake.generation.reset();
  EXPECT_EQ(service.cancels, one_cancel) << "the engine has ended the rest itself";
}

TEST_F(GenerationTest, SeveralPromptsAndChoices) {
  Intake intake = take(Endpoint::kCompletions, R"({"prompt":["a","b"],"n":2,"echo":true,"max_tokens":100})");
  EXPECT_EQ(intake.generation->num_choices(), 4);
  EXPECT_EQ(run(*intake.generation, 2), "bHello, world");
  EXPECT_EQ(service_.submitted().size(), 2U);
  EXPECT_EQ(service_.submitted()[1].num_sequences, 2);
}

TEST_F(GenerationTest, ManyPromptsAreManyRequests) {
  json::array prompts;
  for (int i = 0; i < 500; ++i) prompts.emplace_back("p" + std::to_string(i));
  Intake intake = take(Endpoint::kCompletions, json::serialize(json::object{{"prompt", prompts}, {"echo", true}}));
  ASSERT_FALSE(intake.error);
  EXPECT_EQ(run(*intake.generation, 499), "p499Hello, world");
  EXPECT_EQ(service_.submitted().size(), 500U);
}

TEST_F(GenerationTest, RejectionsBecomeErrors) {
  const std::pair<RejectReason, int> cases[] = {{RejectReason::kTooLong, 400},  {RejectReason::kQueueFull, 429},
                                                {RejectReason::kTooMany, 400},  {RejectReason::kNoReplica, 503},
                                                {RejectReason::kDeadline, 503}, {RejectReason::kWorkerFault, 500}};
  for (const auto& [reason, status] : cases) {
    EXPECT_EQ(rejected(reason).status, status);
    service_.set_script({.reject = reason});
    Intake intake = take(Endpoint::kCompletions, R"({"prompt":"a"})");
    EXPECT_EQ(run(*intake.generation), rejected(reason).code);
  }
  service_.refuse_submissions(true);
  Intake intake = take(Endpoint::kCompletions, R"({"prompt":["a","b"]})");
  EXPECT_EQ(intake.generation->start([] {})->status, 503);
}

TEST_F(GenerationTest, RunningOutOfMemoryIsOneRequestsError) {
  const Intake failed = contain([]() -> Intake { throw std::bad_alloc(); });
  EXPECT_EQ(failed.generation, nullptr);
  ASSERT_TRUE(failed.error);
  EXPECT_EQ(failed.error->status, 500);
  EXPECT_FALSE(contain([&] { return take(Endpoint::kCompletions, R"({"prompt":"a"})"); }).error);
}

TEST_F(GenerationTest, DestroyingCancels) {
  service_.set_script({.silent = true});
  {
    Intake intake = take(Endpoint::kCompletions, R"({"prompt":["a","b","c"]})");
    EXPECT_FALSE(intake.generation->start([] {}));
    EXPECT_EQ(service_.num_running(), 3U);
  }
  EXPECT_EQ(service_.num_running(), 0U);
}

TEST_F(GenerationTest, UnknownModel) {
  EXPECT_EQ(take(Endpoint::kCompletions, R"({"prompt":"a","model":"other"})").error->status, 404);
  EXPECT_FALSE(take(Endpoint::kCompletions, R"({"prompt":"a","model":"byte-model"})").error);
}

TEST(TokenStream, WakesOncePerDrainAndOverflows) {
  int num_wakes = 0;
  TokenStream stream(2, [&] { ++num_wakes; });
  stream.on_event({});
  stream.on_event({});
  EXPECT_EQ(num_wakes, 1);
  EXPECT_FALSE(stream.overflowed());
  stream.on_event({});
  EXPECT_TRUE(stream.overflowed());
  EXPECT_EQ(stream.drain().size(), 2U);
  stream.on_event({});
  EXPECT_EQ(num_wakes, 2);
}

TEST(TokenStream, ABacklogComesInPartsAndEachWakes) {
  int num_wakes = 0;
  TokenStream stream(1000, [&] { ++num_wakes; });
  constexpr auto kMost = static_cast<int>(TokenStream::kMaxAtOnce);
  for (int i = 0; i <= kMost; ++i) {
    TokenEvent event;
    event.sequence_index = i;
    stream.on_event(std::move(event));
  }
  EXPECT_EQ(num_wakes, 1);
  EXPECT_EQ(std::ssize(stream.drain()), kMost);
  EXPECT_EQ(num_wakes, 2);
  const std::vector<TokenEvent> rest = stream.drain();
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest.front().sequence_index, kMost);
  EXPECT_EQ(num_wakes, 2);
}

}  // namespace
}  // namespace caudal
