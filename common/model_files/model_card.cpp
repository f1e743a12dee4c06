#include "common/model_files/model_card.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>

namespace caudal {
namespace {

TokenId token_id(const JsonNode& node) {
  return static_cast<TokenId>(node.integer(0, std::numeric_limits<TokenId>::max()));
}

// One id, or a list of them. Where the field is absent or the list empty, `ids` stay.
void read_eos(const JsonNode& root, std::vector<TokenId>& ids) {
  const std::optional<JsonNode> eos = root.find("eos_token_id");
  if (!eos || (eos->is_array() && eos->size() == 0)) return;
  ids.clear();
  if (!eos->is_array()) ids.push_back(token_id(*eos));
  for (std::size_t i = 0; eos->is_array() && i < eos->size(); ++i) ids.push_back(token_id(eos->at(i)));
}

// What a sampling default may be, both ends included.
struct Range {
  float low = 0.0F;
  float high = std::numeric_limits<float>::max();
};
constexpr float kAboveZero = std::numeric_limits<float>::min();

void read_number(const JsonNode& root, std::string_view name, Range range, float& target) {
  const std::optional<JsonNode> node = root.find(name);
  if (!node) return;
  const auto number = static_cast<float>(node->number());
  if (!(number >= range.low && number <= range.high)) node->fail("is out of range");
  target = number;
}

void read_sampling(const JsonNode& root, SamplingParams& sampling) {
  read_number(root, "temperature", {}, sampling.temperature);
  read_number(root, "top_p", {kAboveZero, 1.0F}, sampling.top_p);
  read_number(root, "min_p", {0.0F, 1.0F}, sampling.min_p);
  read_number(root, "repetition_penalty", {kAboveZero}, sampling.repetition_penalty);
  auto top_k = static_cast<float>(sampling.top_k);
  read_number(root, "top_k", {-1.0F, 1e9F}, top_k);
  sampling.top_k = static_cast<std::int32_t>(std::max(top_k, 0.0F));  // 0 and -1 turn it off
}

ModelCard read_card(ModelDocuments documents) {
  ModelCard card;
  card.digest = std::move(documents.digest);
  card.config_file = std::make_shared<const JsonFile>(std::move(documents.config));
  card.vocab_size = card.config().count("vocab_size");
  card.rope = read_rope(card.config());
  read_eos(card.config(), card.eos_token_ids);
  if (!documents.generation_config) return card;
  const JsonNode generation = documents.generation_config->root();
  read_eos(generation, card.eos_token_ids);
  read_sampling(generation, card.default_sampling);
  return card;
}

}  // namespace

Result<ModelCard> read_model_card(ModelDocuments documents) {
  try {
    return read_card(std::move(documents));
  } catch (const JsonError& error) {
    return error.in_file();
  }
}

Result<ModelDocuments> parse_model_documents(std::string_view config, std::string_view generation_config) {
  try {
    ModelDocuments documents{parse_json_file(config, kConfigFile), std::nullopt, model_digest(config, {})};
    if (!generation_config.empty()) documents.generation_config = parse_json_file(generation_config, kGenerationFile);
    return documents;
  } catch (const JsonError& error) {
    return error.in_file();
  }
}

}  // namespace caudal
