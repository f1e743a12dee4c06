#include "coordinator/gateway/model_context.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <fstream>
#include <iterator>
#include <limits>

#include "common/model_digest.h"
#include "coordinator/gateway/strict_json.h"

namespace caudal {
namespace {

namespace json = boost::json;

Result<std::string> read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{"The file cannot be read.", path.filename().string()};
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

Result<json::object> parse_object(const std::string& text, const std::string& name) {
  Result<json::value> value = parse_strict_json(text);
  if (!value) return Error{value.error().message, name};
  if (!value.value().is_object()) return Error{"It must hold a JSON object.", name};
  return std::move(value).value().get_object();
}

Result<std::int32_t> positive_integer(const json::object& object, std::string_view name, const char* file) {
  const json::value* value = present(object, name);
  const bool valid = value != nullptr && value->is_int64() && value->get_int64() > 0 &&
                     value->get_int64() <= std::numeric_limits<std::int32_t>::max();
  if (!valid) return Error{"It must be a positive integer.", fmt::format("{}: {}", file, name)};
  return static_cast<std::int32_t>(value->get_int64());
}

// One id or a list of them.
Result<std::vector<TokenId>> token_ids(const json::object& object, std::string_view name, const char* file) {
  std::vector<TokenId> ids;
  const json::value* value = present(object, name);
  if (value == nullptr) return ids;
  const json::array list = value->is_array() ? value->get_array() : json::array{*value};
  for (const json::value& id : list) {
    if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() > std::numeric_limits<TokenId>::max()) {
      return Error{"It must be a token id or a list of them.", fmt::format("{}: {}", file, name)};
    }
    ids.push_back(static_cast<TokenId>(id.get_int64()));
  }
  return ids;
}

Result<void> read_number(const json::object& object, std::string_view name, float& target) {
  const json::value* value = present(object, name);
  if (value == nullptr) return {};
  if (!value->is_number()) return Error{"It must be a number.", fmt::format("generation_config.json: {}", name)};
  target = value->to_number<float>();
  return {};
}

Result<void> read_sampling(const json::object& config, SamplingParams& sampling) {
  if (const auto done = read_number(config, "temperature", sampling.temperature); !done) return done.error();
  if (const auto done = read_number(config, "top_p", sampling.top_p); !done) return done.error();
  if (const auto done = read_number(config, "min_p", sampling.min_p); !done) return done.error();
  if (const auto done = read_number(config, "repetition_penalty", sampling.repetition_penalty); !done) {
    return done.error();
  }
  float top_k = static_cast<float>(sampling.top_k);
  if (const auto done = read_number(config, "top_k", top_k); !done) return done.error();
  sampling.top_k = static_cast<std::int32_t>(std::max(top_k, 0.0F));
  const bool valid = sampling.temperature >= 0 && sampling.top_p > 0 && sampling.top_p <= 1 && sampling.min_p >= 0 &&
                     sampling.min_p <= 1 && sampling.repetition_penalty > 0;
  if (!valid) return Error{"A sampling default is out of range.", "generation_config.json"};
  return {};
}

}  // namespace

Result<void> load_model_defaults(const std::filesystem::path& model_dir, ModelContext& model) {
  const Result<std::string> config_text = read_text(model_dir / "config.json");
  if (!config_text) return config_text.error();
  model.digest = model_digest(config_text.value());
  const Result<json::object> config = parse_object(config_text.value(), "config.json");
  if (!config) return config.error();
  const Result<std::int32_t> vocab = positive_integer(config.value(), "vocab_size", "config.json");
  if (!vocab) return vocab.error();
  const Result<std::int32_t> context = positive_integer(config.value(), "max_position_embeddings", "config.json");
  if (!context) return context.error();
  model.vocab_size = vocab.value();
  model.max_context_tokens = context.value();
  Result<std::vector<TokenId>> eos = token_ids(config.value(), "eos_token_id", "config.json");
  if (!eos) return eos.error();
  model.eos_token_ids = std::move(eos).value();

  if (!std::filesystem::exists(model_dir / "generation_config.json")) return {};
  const Result<std::string> generation_text = read_text(model_dir / "generation_config.json");
  if (!generation_text) return generation_text.error();
  const Result<json::object> generation = parse_object(generation_text.value(), "generation_config.json");
  if (!generation) return generation.error();
  Result<std::vector<TokenId>> more = token_ids(generation.value(), "eos_token_id", "generation_config.json");
  if (!more) return more.error();
  if (!more.value().empty()) model.eos_token_ids = std::move(more).value();
  return read_sampling(generation.value(), model.default_sampling);
}

}  // namespace caudal
