// See hf_components.h: the model (vocabulary and merges) and the added tokens.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <utility>

#include "common/tokenizer/hf_components.h"

namespace caudal {
namespace {

void read_vocab(const JsonNode& node, BpeConfig& config) {
  config.vocab.reserve(node.object().size());
  for (const auto& [token, id] : node.object()) {
    if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() >= kMaxTokenId) {
      node.at(token).integer(0, kMaxTokenId - 1);
    }
    config.vocab.emplace_back(token, static_cast<TokenId>(id.get_int64()));
  }
}

// Merges are pairs, in older files strings "left right".
void read_merges(const JsonNode& node, BpeConfig& config) {
  config.merges.reserve(node.size());
  for (std::size_t i = 0; i < node.size(); ++i) {
    const JsonNode merge(node.array()[i], "");
    const auto fail = [&] { node.at(i).fail("must be a pair of strings, or two words with a space between"); };
    if (merge.is_string()) {
      const std::string_view text = merge.string();
      if (text.starts_with("#version")) continue;
      const std::size_t space = text.find(' ');
      if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) fail();
      config.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    } else {
      if (!merge.is_array() || merge.size() != 2) fail();
      const boost::json::array& pair = merge.array();
      if (!pair[0].is_string() || !pair[1].is_string()) fail();
      config.merges.emplace_back(pair[0].get_string(), pair[1].get_string());
    }
  }
}

void refuse_affixes(const JsonNode& node) {
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const std::optional<JsonNode> affix = node.find(key);
    if (affix && !affix->string().empty()) affix->fail("is not supported");
  }
  if (const std::optional<JsonNode> dropout = node.find("dropout"))
    dropout->fail("is for training only: not supported");
}

}  // namespace

BpeModel read_model(const JsonNode& node) {
  const std::optional<JsonNode> type = node.find("type");  // absent in old files, which are all BPE
  if (type && type->string() != "BPE") refuse_type(node, type->string(), "BPE");
  refuse_affixes(node);
  BpeConfig config;
  read_vocab(node.at("vocab"), config);
  read_merges(node.at("merges"), config);
  if (const std::optional<JsonNode> unk = node.find("unk_token")) config.unk_token = unk->string();
  config.fuse_unk = node.flag("fuse_unk", false);
  config.byte_fallback = node.flag("byte_fallback", false);
  config.ignore_merges = node.flag("ignore_merges", false);
  return unwrap(node, BpeModel::create(std::move(config)));
}

AddedToken read_added_token(const JsonNode& node, TokenId id) {
  AddedToken token;
  token.id = id;
  const JsonNode content = node.at("content");
  token.content = content.string();
  if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes) {
    content.fail(fmt::format("must have 1 to {} bytes", kMaxAddedTokenBytes));
  }
  token.single_word = node.flag("single_word", false);
  token.lstrip = node.flag("lstrip", false);
  token.rstrip = node.flag("rstrip", false);
  token.special = node.flag("special", false);
  token.normalized = node.flag("normalized", !token.special);
  return token;
}

}  // namespace caudal
