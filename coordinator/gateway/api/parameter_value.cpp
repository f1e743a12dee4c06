#include "coordinator/gateway/api/parameter_value.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

namespace caudal {
namespace {

namespace json = boost::json;

using Bounds = Parameter::Bounds;
using Type = Parameter::Type;
using Value = Parameter::Value;

// --- Numbers ---

// The bounds of integers are integers in people's eyes, although the table holds 2^63 for the largest one.
std::string bound_text(Type type, double bound) {
  if (type != Type::kInteger) return fmt::format("{}", bound);
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  return fmt::format("{}", bound >= static_cast<double>(kLargest) ? kLargest : static_cast<std::int64_t>(bound));
}

[[noreturn]] void fail_number(const Parameter& parameter, const JsonNode& node) {
  const Bounds& bounds = parameter.bounds;
  node.fail(fmt::format("It must be {} {} {} and at most {}.",
                        parameter.type == Type::kInteger ? "an integer" : "a number",
                        bounds.above_min ? "above" : "of at least", bound_text(parameter.type, bounds.min),
                        bound_text(parameter.type, bounds.max)));
}

// Whole numbers written as 5.0 count as integers, as they do in JavaScript and in JSON Schema.
std::optional<std::int64_t> as_integer(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (!value.is_double()) return std::nullopt;
  const double real = value.get_double();
  if (!(std::fabs(real) <= 9007199254740992.0) || real != std::floor(real)) return std::nullopt;
  return static_cast<std::int64_t>(real);
}

Value check_number(const Parameter& parameter, const JsonNode& node) {
  Value checked;
  if (parameter.type == Type::kInteger) {
    const std::optional<std::int64_t> integer = as_integer(node.value());
    if (!integer) fail_number(parameter, node);
    checked.integer = *integer;
    checked.real = static_cast<double>(*integer);
  } else {
    if (!node.value().is_number()) fail_number(parameter, node);
    checked.real = node.value().to_number<double>();
  }
  const auto& [min, max] = std::pair(parameter.bounds.min, parameter.bounds.max);
  // As the worker will hold it: (0, 1] must not become 0 when narrowed.
  const bool high_enough =
      parameter.bounds.above_min ? static_cast<float>(checked.real) > static_cast<float>(min) : checked.real >= min;
  if (!high_enough || !(checked.real <= max)) fail_number(parameter, node);  // NaN fails here, too
  return checked;
}

// --- Words ---

// 'a', 'b' or 'c'; true and false come before.
std::string listed(Type type, std::span<const std::string_view> words) {
  std::vector<std::string> choices;
  if (type == Type::kBoolean) choices = {"true", "false"};
  for (const std::string_view word : words) choices.push_back(fmt::format("'{}'", word));
  std::string text = choices.front();
  for (std::size_t i = 1; i < choices.size(); ++i) text += (i + 1 < choices.size() ? ", " : " or ") + choices[i];
  return text;
}

Value check_word(const Parameter& parameter, const JsonNode& node) {
  const auto words = parameter.bounds.words;
  Value checked;
  if (parameter.type == Type::kBoolean) {
    if (node.value().is_bool()) {
      checked.integer = node.boolean() ? 1 : 0;
      return checked;
    }
    checked.integer = 2;
  }
  const auto word = node.is_string() ? std::ranges::find(words, node.string()) : words.end();
  if (word == words.end()) node.fail(fmt::format("It must be {}.", listed(parameter.type, words)));
  checked.integer += word - words.begin();
  return checked;
}

// --- Texts ---

std::string check_text(const Bounds& bounds, const JsonNode& node) {
  const std::string_view text = node.is_string() ? node.string() : std::string_view();
  const auto size = static_cast<double>(text.size());
  const bool blank = bounds.not_blank && text.find_first_not_of(' ') == std::string_view::npos;
  if (node.is_string() && size >= bounds.min && size <= bounds.max && !blank) return std::string(text);
  const std::string least = bounds.min > 0 ? fmt::format("{} to", bounds.min) : "at most";
  node.fail(fmt::format("It must be a string of {} {} bytes{}.", least, bounds.max,
                        bounds.not_blank ? ", and more than spaces" : ""));
}

Value check_texts(const Parameter& parameter, const JsonNode& node) {
  const Bounds& bounds = parameter.bounds;
  Value checked;
  if (parameter.type == Type::kText || (parameter.type == Type::kTextOrTexts && node.is_string())) {
    checked.texts.push_back(check_text(bounds, node));
    return checked;
  }
  if (!node.is_array() || node.size() > bounds.max_items) {
    const char* either = parameter.type == Type::kTextOrTexts ? "a string or " : "";
    node.fail(fmt::format("It must be {}a list of at most {} strings.", either, bounds.max_items));
  }
  for (std::size_t i = 0; i < node.size(); ++i) checked.texts.push_back(check_text(bounds, node.at(i)));
  return checked;
}

// --- Tokens ---

std::vector<TokenId> check_token_ids(const JsonNode& node, std::int32_t vocab_size) {
  std::vector<TokenId> tokens;
  tokens.reserve(node.size());
  for (std::size_t i = 0; i < node.size(); ++i) {
    const std::optional<std::int64_t> id = as_integer(node.array()[i]);
    if (!id || *id < 0 || *id >= vocab_size) {
      node.fail_at(i, fmt::format("A token id must be an integer of at least 0 and below {}.", vocab_size));
    }
    tokens.push_back(static_cast<TokenId>(*id));
  }
  return tokens;
}

Value check_token_list(const Bounds& bounds, const JsonNode& node, std::int32_t vocab_size) {
  if (!node.is_array() || node.size() > bounds.max_items) {
    node.fail(fmt::format("It must be a list of at most {} token ids.", bounds.max_items));
  }
  Value checked;
  checked.tokens = check_token_ids(node, vocab_size);
  return checked;
}

Value check_token_biases(const Bounds& bounds, const JsonNode& node, std::int32_t vocab_size) {
  if (!node.is_object() || node.object().size() > bounds.max_items) {
    node.fail(fmt::format("It must be an object of at most {} token ids.", bounds.max_items));
  }
  Value checked;
  std::set<TokenId> seen;  // "7" and "007" are different keys and the same token
  for (const auto& [key, value] : node.object()) {
    TokenId token = -1;
    const auto [end, failed] = std::from_chars(key.data(), key.data() + key.size(), token);
    const bool whole = failed == std::errc() && end == key.data() + key.size();
    if (!whole || token < 0 || token >= vocab_size || !seen.insert(token).second) {
      node.fail(fmt::format("A key must be a token id of at least 0 and below {}, each once.", vocab_size));
    }
    const double bias = value.is_number() ? value.to_number<double>() : std::nan("");
    if (!(bias >= bounds.min && bias <= bounds.max)) {
      node.fail(fmt::format("A bias must be a number of at least {} and at most {}.", bounds.min, bounds.max));
    }
    checked.biases.push_back({token, static_cast<float>(bias)});
  }
  return checked;
}

// A string or a list of token ids; not empty.
Prompt check_prompt(const JsonNode& node, std::int32_t vocab_size) {
  if (!node.is_string() && !node.is_array()) node.fail("A prompt must be a string or a list of token ids.");
  if (node.is_string() ? node.string().empty() : node.size() == 0) node.fail("The prompt is empty.");
  if (node.is_string()) return std::string(node.string());
  return check_token_ids(node, vocab_size);
}

Value check_prompts(const Bounds& bounds, const JsonNode& node, std::int32_t vocab_size) {
  Value checked;
  const bool many = node.is_array() && node.size() > 0 && (node.at(0).is_string() || node.at(0).is_array());
  if (!many) {
    checked.prompts.push_back(check_prompt(node, vocab_size));
    return checked;
  }
  if (node.size() > bounds.max_items) node.fail(fmt::format("At most {} prompts are allowed.", bounds.max_items));
  for (std::size_t i = 0; i < node.size(); ++i) checked.prompts.push_back(check_prompt(node.at(i), vocab_size));
  return checked;
}

}  // namespace

Value check_value(const Parameter& parameter, const JsonNode& node, std::int32_t vocab_size) {
  switch (parameter.type) {
    case Type::kInteger:
    case Type::kNumber:
      return check_number(parameter, node);
    case Type::kBoolean:
    case Type::kChoice:
      return check_word(parameter, node);
    case Type::kText:
    case Type::kTexts:
    case Type::kTextOrTexts:
      return check_texts(parameter, node);
    case Type::kTokenIds:
      return check_token_list(parameter.bounds, node, vocab_size);
    case Type::kTokenBiases:
      return check_token_biases(parameter.bounds, node, vocab_size);
    case Type::kPrompts:
      return check_prompts(parameter.bounds, node, vocab_size);
    case Type::kObject:
      break;
  }
  if (!node.is_object()) node.fail("It must be an object.");
  return {};
}

}  // namespace caudal
