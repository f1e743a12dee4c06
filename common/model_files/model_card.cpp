#include "common/model_files/model_card.h"

#include <fmt/ranges.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <limits>

#include "common/model_files/json_file.h"

namespace caudal {
namespace {

constexpr char kConfigFile[] = "config.json";
constexpr char kGenerationFile[] = "generation_config.json";

std::string sha256(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

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

ModelCard read_card(std::string_view config_text, std::string_view generation_text) {
  ModelCard card;
  card.digest = sha256(config_text);
  card.document = std::make_shared<const boost::json::value>(parse_json_file(config_text, kConfigFile).document);
  card.vocab_size = card.config().count("vocab_size");
  card.rope = read_rope(card.config());
  read_eos(card.config(), card.eos_token_ids);
  if (generation_text.empty()) return card;
  const JsonFile generation = parse_json_file(generation_text, kGenerationFile);
  read_eos(generation.root(), card.eos_token_ids);
  read_sampling(generation.root(), card.default_sampling);
  return card;
}

}  // namespace

JsonNode ModelCard::config() const { return JsonNode(*document, kConfigFile); }

Result<ModelCard> parse_model_card(std::string_view config, std::string_view generation_config) {
  try {
    return read_card(config, generation_config);
  } catch (const JsonError& error) {
    return error.in_file();
  }
}

Result<ModelCard> load_model_card(const std::filesystem::path& model_dir) {
  try {
    const std::string config = read_text_file(model_dir, kConfigFile);
    std::error_code error;
    const bool has_generation = std::filesystem::exists(model_dir / kGenerationFile, error);
    const std::string generation = has_generation ? read_text_file(model_dir, kGenerationFile) : "";
    if (has_generation && generation.empty()) throw JsonError{"is empty", "", kGenerationFile};
    return read_card(config, generation);
  } catch (const JsonError& error) {
    return error.in_file();
  }
}

}  // namespace caudal
