#include "coordinator/gateway/api/openai_beam.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>

#include "coordinator/gateway/api/limits.h"
#include "coordinator/gateway/api/present.h"

namespace caudal {
namespace {

namespace json = boost::json;

Result<EarlyStopping> parse_early_stopping(const json::object& body) {
  const json::value* value = present(body, "early_stopping");
  if (value == nullptr) return EarlyStopping::kNo;
  if (value->is_bool()) return value->get_bool() ? EarlyStopping::kYes : EarlyStopping::kNo;
  if (value->is_string() && value->get_string() == "never") return EarlyStopping::kNever;
  return Error{"It must be true, false or 'never'.", "early_stopping"};
}

// Fields that would change what is searched, and the values with which they do not. Defaults of the model do not count.
struct Neutral {
  std::string_view name;
  double value;
  double same;  // another that means as much
};
constexpr Neutral kNeutral[] = {{"temperature", 0, 1},
                                {"top_p", 1, 1},
                                {"top_k", 0, -1},
                                {"min_p", 0, 0},
                                {"presence_penalty", 0, 0},
                                {"frequency_penalty", 0, 0},
                                {"repetition_penalty", 1, 1}};

Result<void> refuse_sampling(const json::object& body, const ApiRequest& request) {
  for (const Neutral& field : kNeutral) {
    const json::value* value = present(body, field.name);
    if (value == nullptr) continue;
    const double number = value->to_number<double>();
    if (number == field.value || number == field.same) continue;
    return Error{fmt::format("A beam search does not sample: it must be {}.", field.value), std::string(field.name)};
  }
  const auto refused = [](std::string_view name) {
    return Error{"It cannot be combined with use_beam_search.", std::string(name)};
  };
  if (!request.params.sampling.logit_bias.empty()) return refused("logit_bias");
  if (!request.stop_strings.empty()) return refused("stop");
  if (request.params.speculative.value_or(SpeculativeMode::kOff) != SpeculativeMode::kOff)
    return refused("speculative");
  if (request.stream) return Error{"A beam search cannot be streamed: the best are known at the end.", "stream"};
  return {};
}

// beam_width, else best_of, else n.
Result<void> choose_width(const json::object& body, ApiRequest& request) {
  const char* field = request.beam_width > 0 ? "beam_width" : present(body, "best_of") != nullptr ? "best_of" : "n";
  if (request.beam_width > 0 && request.best_of > 0 && request.beam_width != request.best_of) {
    return Error{"It must be equal to best_of, which means the same here.", "beam_width"};
  }
  request.beam->width =
      std::max({request.beam_width, request.best_of, request.beam_width > 0 ? 0 : request.num_sequences});
  if (request.best_of > 0 && request.best_of < request.num_sequences) return Error{"It must be at least n.", "best_of"};
  if (request.beam->width < request.num_sequences) return Error{"It must be at least n.", field};
  if (request.beam->width > kMaxBeams) return Error{fmt::format("At most {} beams are allowed.", kMaxBeams), field};
  if (request.prompts.size() * static_cast<std::size_t>(request.beam->width) > kMaxChoices) {
    return Error{fmt::format("Prompts times {} must be at most {}.", field, kMaxChoices), field};
  }
  request.best_of = request.num_sequences;
  return {};
}

}  // namespace

Result<void> parse_beam_search(const json::object& body, ApiRequest& request) {
  const Result<EarlyStopping> early_stopping = parse_early_stopping(body);
  if (!early_stopping) return early_stopping.error();
  if (!request.use_beam_search) {
    const auto lonely = [](std::string_view name) { return Error{"It needs use_beam_search.", std::string(name)}; };
    if (request.beam_width > 0) return lonely("beam_width");
    if (request.length_penalty != 1.0) return lonely("length_penalty");
    if (early_stopping.value() != EarlyStopping::kNo) return lonely("early_stopping");
    return {};
  }
  if (const auto done = refuse_sampling(body, request); !done) return done.error();
  request.beam = BeamParams{.length_penalty = request.length_penalty, .early_stopping = early_stopping.value()};
  SamplingParams plain;
  plain.temperature = 0.0F;
  plain.num_logprobs = request.params.sampling.num_logprobs;
  request.params.sampling = plain;
  return choose_width(body, request);
}

}  // namespace caudal
