#include "coordinator/gateway/generation/generation.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <exception>
#include <random>
#include <set>

#include "common/grammar/grammar.h"
#include "common/json/strict_json.h"
#include "common/log.h"
#include "coordinator/gateway/api/anthropic_messages.h"
#include "coordinator/gateway/api/limits.h"
#include "coordinator/gateway/api/openai_api.h"
#include "coordinator/gateway/generation/gateway_models.h"
#include "coordinator/gateway/generation/token_stream.h"
#include "coordinator/gateway/tools/closed_schema.h"
#include "coordinator/metrics/metrics.h"
#include "coordinator/policy/beam_search.h"
#include "coordinator/request/request_service.h"

namespace caudal {
namespace {

std::uint64_t random_seed() {
  static thread_local std::mt19937_64 generator(std::random_device{}());
  return generator();
}

ApiError too_long(const char* message, const char* field) {
  ApiError error = invalid_request({message, field});
  error.code = "context_length_exceeded";
  return error;
}

// A worker sends only so many of the most likely tokens.
ApiError too_many_bans(const Request& request) {
  return invalid_request(
      {fmt::format("With {} beams, bad words (each alone and behind a space) and stop tokens must be at most {}.",
                   request.beam->width, kMaxCandidates - request.beam->width),
       request.params.sampling.bad_words.empty() ? "stop_token_ids" : "bad_words"});
}

Time to_time(Generation::Clock::time_point point) {
  return std::chrono::duration_cast<std::chrono::microseconds>(point.time_since_epoch()).count();
}

// The worker compiles it again: here it is found out whether that will go well.
std::optional<ApiError> check_grammar(const GrammarParams& params, const std::string& field) {
  if (params.kind == GrammarKind::kNone) return std::nullopt;
  static thread_local std::set<std::string> known;  // by kind and text: those that this thread found to be right
  const std::string key = static_cast<char>(params.kind) + params.text;
  if (known.contains(key)) return std::nullopt;
  const auto compiled = grammar::Grammar::compile(params.kind, params.text);
  if (!compiled) return invalid_request({compiled.error().message, field});
  constexpr std::size_t kMaxKnown = 64, kMaxKnownBytes = 65'536;
  if (known.size() >= kMaxKnown) known.clear();
  if (key.size() <= kMaxKnownBytes) known.insert(key);
  return std::nullopt;
}

// What the client's schema takes and lists: see closed_schema(). As it is, where nothing would be left.
void close_schema(GrammarParams& grammar) {
  if (grammar.kind != GrammarKind::kJsonSchema) return;
  const JsonRules rules{.max_depth = grammar::GrammarLimits().max_depth, .allows_nul = true};
  Result<boost::json::value> schema = parse_strict_json(grammar.text, rules);
  if (!schema || !schema.value().is_object()) return;
  GrammarParams closed{grammar.kind, boost::json::serialize(closed_schema(std::move(schema.value().get_object())))};
  if (!check_grammar(closed, "")) grammar = std::move(closed);
}

}  // namespace

struct Generation::Part {
  Request request;  // moved to the engine by start()
  std::size_t num_prompt_tokens = 0;
  std::shared_ptr<PromptDetails> prompt;  // where asked for; shared with the deltas, whole before the first of them
  std::vector<bool> has_prompt;           // by sequence: a delta has taken it
  std::size_t first_choice = 0;
  std::size_t num_choices = 1;
  std::optional<RequestId> id;  // set while the engine works on it
  std::int64_t num_cached_tokens = 0;
  std::int64_t num_drafted = 0;
  std::int64_t num_accepted = 0;
  std::vector<Clock::time_point> last_token;  // per sequence
};

std::int32_t served_context_tokens(const RequestService& service, const GatewayModel& model) {
  const std::int64_t joined = service.max_context_tokens(model.context.id);
  const RopeConfig& rope = model.context.card.rope;
  return static_cast<std::int32_t>(joined > 0 ? std::min(joined, rope.longest_context()) : rope.default_context());
}

Generation::Generation(const GenerationContext& context, const GatewayModel& model, ApiRequest request,
                       Clock::time_point arrival)
    : context_(context), model_(model), request_(std::move(request)), arrival_(arrival) {}

Generation::~Generation() { cancel(); }

std::optional<ApiError> Generation::prepare() {
  const std::int32_t max_context = served_context_tokens(context_.service, model_);
  parts_.resize(request_.endpoint == Endpoint::kChat ? 1 : request_.prompts.size());
  if (request_.best_of > request_.num_sequences) {
    best_of_.emplace(parts_.size(), request_.best_of, request_.num_sequences, request_.num_logprobs >= 0);
  }
  stops_ = std::make_shared<const StopStrings>(request_.stop_strings);
  Result<std::vector<std::vector<TokenId>>> bad_words = model_.encoder.encode_bad_words(request_.bad_words);
  if (!bad_words) return invalid_request(bad_words.error());
  if (auto error = check_grammar(request_.params.sampling.grammar, request_.grammar_field)) return error;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (auto error = prepare_part(i, max_context)) return error;
    Request& request = parts_[i].request;
    request.params.sampling.bad_words = bad_words.value();
    if (request_.beam && num_candidates(request) > kMaxCandidates) return too_many_bans(request);
  }
  return std::nullopt;
}

// The template takes the chat, so that what else it says is read before.
std::optional<ApiError> Generation::prepare_chat(Part& part) {
  const OutputPlanner planner(model_.context, model_.mark_tokens, *request_.chat);
  Result<std::vector<TokenId>> tokens = model_.encoder.encode_chat(std::move(*request_.chat));
  if (!tokens) return invalid_request(tokens.error());
  part.request.prompt = std::move(tokens).value();
  SamplingParams& sampling = part.request.params.sampling;
  if (const auto done = planner.constrain(part.request.prompt, request_.grammar_field, sampling); !done) {
    return invalid_request(done.error());
  }
  if (request_.beam && sampling.grammar.kind != GrammarKind::kNone) {
    return invalid_request({"A beam search cannot hold calls to a schema.", "use_beam_search"});
  }
  plan_ = planner.plan(part.request.prompt);
  const bool of_tools = request_.params.sampling.grammar.kind == GrammarKind::kNone;
  auto error = check_grammar(sampling.grammar, of_tools ? "tools" : request_.grammar_field);
  if (!error || !planner.holds_calls()) return error;
  const auto wrong = planner.wrong_schema();
  return wrong ? invalid_request(*wrong) : error;
}

std::optional<ApiError> Generation::prepare_part(std::size_t index, std::int32_t max_context) {
  Part& part = parts_[index];
  part.num_choices = static_cast<std::size_t>(request_.best_of);
  part.first_choice = index * part.num_choices;
  part.last_token.resize(part.num_choices);
  std::string echo;
  part.request.params = request_.params;
  close_schema(part.request.params.sampling.grammar);
  if (request_.endpoint == Endpoint::kChat) {
    if (auto error = prepare_chat(part)) return error;
  } else if (const std::string* text = std::get_if<std::string>(&request_.prompts[index])) {
    part.request.prompt = model_.encoder.encode_text(*text);
    if (request_.echo) echo = *text;
  } else {
    part.request.prompt = std::get<std::vector<TokenId>>(request_.prompts[index]);
    if (request_.echo) echo = model_.context.tokenizer->decode(part.request.prompt, request_.skip_special_tokens);
  }
  part.num_prompt_tokens = part.request.prompt.size();
  keep_prompt(part);
  GenerationParams& params = part.request.params;
  if (auto error = fit_context(part, max_context)) return error;

  if (best_of_) params.sampling.num_logprobs = std::max(params.sampling.num_logprobs, 0);
  params.sampling.seed = request_.seed ? *request_.seed : random_seed();
  // A grammar ends the output where nothing else may follow; without stop tokens of its own the output goes on until
  // then.
  const bool has_grammar = params.sampling.grammar.kind != GrammarKind::kNone;
  if (request_.ignore_eos && has_grammar) params.stop.min_tokens = params.stop.max_tokens;
  if (!request_.ignore_eos || has_grammar) {
    auto& stops = params.stop.stop_token_ids;
    const std::vector<TokenId>& eos = model_.context.card.eos_token_ids;
    stops.insert(stops.end(), eos.begin(), eos.end());
  }
  part.request.model = model_.context.id;
  part.request.num_sequences = request_.best_of;
  part.request.beam = request_.beam;
  part.request.priority = request_.priority;
  part.request.cache_salt = request_.cache_salt;
  part.request.tenant = request_.user;
  part.request.arrival = to_time(arrival_);
  if (request_.deadline_ms > 0) part.request.deadline = part.request.arrival + request_.deadline_ms * 1000;
  part.request.ttft_target_us = request_.ttft_target_ms * 1000;
  part.request.tpot_target_us = static_cast<Time>(std::ceil(request_.tpot_target_ms * 1000.0));
  for (std::size_t i = 0; i < part.num_choices; ++i) {
    choices_.push_back(std::make_unique<Choice>(static_cast<std::int32_t>(part.first_choice + i),
                                                *model_.context.tokenizer, request_, stops_, echo, plan_));
  }
  return std::nullopt;
}

// What the client wants to know of it beside the answer.
void Generation::keep_prompt(Part& part) const {
  if (!request_.return_token_ids && request_.params.num_prompt_logprobs < 0) return;
  part.prompt = std::make_shared<PromptDetails>();
  part.prompt->tokens = part.request.prompt;
  part.has_prompt.resize(part.num_choices);
}

std::optional<ApiError> Generation::fit_context(Part& part, std::int32_t max_context) const {
  const char* field = request_.endpoint == Endpoint::kChat ? "messages" : "prompt";
  if (part.num_prompt_tokens == 0) return invalid_request({"It has no tokens.", field});
  const std::size_t context = max_context;
  if (part.num_prompt_tokens >= context) {
    // Clients look for the first sentence, which is OpenAI's.
    const std::string message = fmt::format(
        "This model's maximum context length is {} tokens. The prompt has {}, which leaves no room for output.",
        context, part.num_prompt_tokens);
    return too_long(message.c_str(), field);
  }
  const auto room = static_cast<std::int32_t>(context - part.num_prompt_tokens);
  const std::int32_t fallback = request_.endpoint == Endpoint::kChat ? room : kDefaultCompletionTokens;
  part.request.params.stop.max_tokens = std::clamp(request_.max_tokens.value_or(fallback), 1, room);
  if (request_.params.stop.min_tokens > part.request.params.stop.max_tokens) {
    return invalid_request({"It is more than the tokens that can be generated.", "min_tokens"});
  }
  return std::nullopt;
}

std::optional<ApiError> Generation::start(std::function<void()> wake) {
  stream_ = std::make_shared<TokenStream>(kMaxWaitingEvents * choices_.size(), std::move(wake));
  num_unfinished_ = choices_.size();
  for (Part& part : parts_) {
    const Result<RequestId> id = context_.service.submit(std::move(part.request), stream_);
    if (!id) {
      cancel();
      return overloaded();
    }
    part.id = id.value();
    part_by_id_.emplace(id.value(), static_cast<std::size_t>(&part - parts_.data()));
  }
  return std::nullopt;
}

Generation::Progress Generation::advance() {
  Progress progress;
  for (const TokenEvent& event : stream_->drain()) {
    Part* part = part_of(event.request_id);
    if (part == nullptr || progress.error) continue;  // cancelled, but this was under way
    apply(*part, event, progress);
  }
  if (best_of_) {
    for (ChoiceDelta& delta : std::exchange(progress.deltas, {})) best_of_->add(std::move(delta));
    if (finished() && !recorded_) progress.deltas = best_of_->take();
  }
  if (stream_->overflowed() && !finished() && !progress.error) progress.error = slow_client();
  if (progress.error) {
    record_end(FinishReason::kError);
    cancel();
  } else if (finished()) {
    record_end(choices_.front()->finish_reason());
  }
  return progress;
}

void Generation::apply(Part& part, const TokenEvent& event, Progress& progress) {
  if (event.sequence_index < 0 || static_cast<std::size_t>(event.sequence_index) >= part.num_choices) return;
  Choice& choice = *choices_[part.first_choice + static_cast<std::size_t>(event.sequence_index)];
  if (choice.finished()) return;  // by a stop string, while this was under way
  if (event.finish_reason == FinishReason::kError) {
    progress.error = rejected(event.reject);
    return;
  }
  part.num_cached_tokens = std::max<std::int64_t>(part.num_cached_tokens, event.num_cached_tokens);
  part.num_drafted += event.num_drafted;
  part.num_accepted += event.num_accepted;
  if (part.prompt) std::ranges::copy(event.prompt_logprobs, std::back_inserter(part.prompt->logprobs));
  if (event.tokens.empty() && event.finish_reason == FinishReason::kNone) return;
  measure(part, event);
  if (auto delta = choice.apply(event)) {
    if (part.prompt && !part.has_prompt[event.sequence_index]) delta->prompt = part.prompt;
    if (part.prompt) part.has_prompt[event.sequence_index] = true;
    delta->num_prompt_tokens = static_cast<std::int64_t>(part.num_prompt_tokens);
    progress.deltas.push_back(std::move(*delta));
  }
  if (!choice.finished()) return;
  --num_unfinished_;
  // The engine knows nothing of stop strings.
  if (event.finish_reason == FinishReason::kNone) context_.service.cancel(*part.id, event.sequence_index);
  const auto first = choices_.begin() + static_cast<std::ptrdiff_t>(part.first_choice);
  const bool done = std::all_of(first, first + static_cast<std::ptrdiff_t>(part.num_choices),
                                [](const auto& one) { return one->finished(); });
  if (done) part.id.reset();
}

void Generation::measure(Part& part, const TokenEvent& event) {
  if (event.tokens.empty()) return;
  last_replica_ = event.replica;
  const auto now = Clock::now();
  if (!first_token_seen_) context_.metrics.first_token(event.replica, now - arrival_);
  first_token_seen_ = true;
  auto& last = part.last_token[event.sequence_index];
  const bool first = last == Clock::time_point{};
  if (!first) context_.metrics.next_tokens(event.replica, now - last, static_cast<std::int32_t>(event.tokens.size()));
  last = now;
}

// Null once the engine has ended it, or was told to.
Generation::Part* Generation::part_of(RequestId id) {
  const auto found = part_by_id_.find(id);
  return found == part_by_id_.end() || !parts_[found->second].id ? nullptr : &parts_[found->second];
}

void Generation::record_end(FinishReason reason) {
  if (std::exchange(recorded_, true)) return;
  const Usage used = usage();
  context_.metrics.request_finished({last_replica_, Clock::now() - arrival_, used.num_prompt_tokens,
                                     used.num_generated_tokens, request_.num_sequences, reason});
}

std::int32_t Generation::num_choices() const {
  return static_cast<std::int32_t>(parts_.size()) * request_.num_sequences;
}

Usage Generation::usage() const {
  Usage usage;
  for (const Part& part : parts_) {
    usage.num_prompt_tokens += static_cast<std::int64_t>(part.num_prompt_tokens);
    usage.num_cached_tokens += part.num_cached_tokens;
    usage.num_drafted += part.num_drafted;
    usage.num_accepted += part.num_accepted;
  }
  usage.reports_drafts = request_.params.speculative.has_value();
  for (const auto& choice : choices_) usage.num_generated_tokens += choice->num_tokens();
  return usage;
}

void Generation::cancel() {
  for (Part& part : parts_) {
    if (part.id) context_.service.cancel(*part.id);
    part.id.reset();
  }
  if (stream_ != nullptr && num_unfinished_ > 0) record_end(FinishReason::kAbort);
  num_unfinished_ = 0;
}

Intake take_request(const GenerationContext& context, Endpoint endpoint, Result<boost::json::value> body,
                    Generation::Clock::time_point arrival) {
  if (!body) return {nullptr, invalid_request(body.error())};
  const Result<std::string> name = requested_model(body.value());
  if (!name) return {nullptr, invalid_request(name.error())};
  const GatewayModel* model = context.models.find(name.value());
  if (model == nullptr) return {nullptr, model_not_found()};
  const ModelCard& card = model->context.card;
  const ApiContext limits{static_cast<std::int32_t>(card.vocab_size), card.default_sampling, context.max_logprobs};
  const bool is_anthropic = endpoint == Endpoint::kMessages;
  if (is_anthropic) {
    body = chat_body_of_messages(body.value());
    endpoint = Endpoint::kChat;
    if (!body) return {nullptr, invalid_request(body.error())};
  }
  Result<ApiRequest> request = parse_api_request(endpoint, std::move(body).value(), limits);
  if (!request) return {nullptr, invalid_request(request.error())};
  if (is_anthropic) request.value().style = AnswerStyle::kAnthropic;
  if (const std::size_t ignored = request.value().ignored_fields.size(); ignored > 0) {
    context.metrics.ignored_fields(static_cast<std::int64_t>(ignored));
  }
  auto generation = std::make_unique<Generation>(context, *model, std::move(request).value(), arrival);
  if (auto error = generation->prepare()) return {nullptr, std::move(error)};
  return {std::move(generation), std::nullopt};
}

Intake contain(const std::function<Intake()>& work) {
  try {
    return work();
  } catch (const std::exception& failure) {
    LOG_WARNING("a request failed before it could start: {}", failure.what());
    return {nullptr, internal_error()};
  }
}

}  // namespace caudal
