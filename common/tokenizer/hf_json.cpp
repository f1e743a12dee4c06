#include "common/tokenizer/hf_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <charconv>
#include <utility>

#include "common/tokenizer/hf_components.h"
#include "common/tokenizer/hf_tokenizer.h"

namespace caudal {
namespace {

// The added tokens of tokenizer.json, then those of tokenizer_config.json: same id or text means the same
// token, and the config has the last word about its flags.
class AddedTokenList {
 public:
  explicit AddedTokenList(const WordModel& model) : model_(model) {}

  void read_tokenizer(const JsonNode& list) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      const JsonNode node = list.at(i);
      const auto id = static_cast<TokenId>(node.at("id").integer(0, kMaxTokenId - 1));
      add(node, read_added_token(node, id));
    }
  }

  // {"128000": {"content": ...}, ...}
  void read_config(const JsonNode& map) {
    for (const auto& [key, value] : map.object()) {
      const JsonNode node = map.at(key);
      TokenId id = -1;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || end != key.data() + key.size() || id < 0 || id >= kMaxTokenId) {
        node.fail("the key is not a token id");
      }
      add(node, read_added_token(node, id));
    }
  }

  std::vector<AddedToken> take() { return std::move(tokens_); }

 private:
  void add(const JsonNode& node, AddedToken token) {
    const std::optional<TokenId> model_id = model_.token_to_id(token.content);
    if (model_id && *model_id != token.id) {
      node.fail(fmt::format("has id {}, but id {} in the vocabulary of the model", token.id, *model_id));
    }
    for (AddedToken& known : tokens_) {
      if (known.id != token.id && known.content != token.content) continue;
      if (known.id != token.id || known.content != token.content) {
        node.fail(fmt::format("contradicts the added token with id {}", known.id));
      }
      known = std::move(token);
      return;
    }
    tokens_.push_back(std::move(token));
  }

  const WordModel& model_;
  std::vector<AddedToken> tokens_;
};

// "<s>" or {"content": "<s>", ...}; nothing when the config has none or the vocabulary does not know it.
std::optional<TokenId> named_token(const JsonNode& config, std::string_view key, const HfParts& parts) {
  const std::optional<JsonNode> node = config.find(key);
  if (!node) return std::nullopt;
  const std::string_view content = node->is_object() ? node->at("content").string() : node->string();
  if (const AddedToken* added = parts.added.by_content(content)) return added->id;
  return parts.model->token_to_id(content);
}

// add_bos_token and add_eos_token overrule the post-processor, as they do in transformers.
void apply_add_flags(const JsonNode& config, HfParts& parts) {
  std::vector<TokenId>& before = parts.surrounding.before;
  std::vector<TokenId>& after = parts.surrounding.after;
  const auto apply = [&](std::string_view key, std::optional<TokenId> id, std::vector<TokenId>& side, bool at_front) {
    const std::optional<JsonNode> wanted = config.find(key);
    if (!wanted) return;
    const bool add = wanted->boolean();
    if (add && !id) wanted->fail("is true, but there is no such token");
    if (!id) return;
    const bool has = std::find(side.begin(), side.end(), *id) != side.end();
    if (add && !has) side.insert(at_front ? side.begin() : side.end(), *id);
    if (!add && has) std::erase(side, *id);
  };
  apply("add_bos_token", parts.named.bos, before, true);
  apply("add_eos_token", parts.named.eos, after, false);
}

HfParts read_tokenizer(const JsonNode& root) {
  HfParts parts{.added = {},
                .normalizer = {},
                .pre_tokenizer = {},
                .model = read_model(root.at("model")),
                .surrounding = {},
                .decoder = {JoinDecoder{}},
                .named = {}};
  if (const auto node = root.find("normalizer")) parts.normalizer = read_normalizer(*node);
  if (const auto node = root.find("pre_tokenizer")) parts.pre_tokenizer = read_pre_tokenizer(*node);
  if (const auto node = root.find("post_processor")) parts.surrounding = read_post_processor(*node);
  if (const auto node = root.find("decoder")) parts.decoder = read_decoder(*node);
  return parts;
}

void read_config(const JsonNode& config, HfParts& parts) {
  parts.named = {named_token(config, "bos_token", parts), named_token(config, "eos_token", parts),
                 named_token(config, "pad_token", parts), named_token(config, "unk_token", parts)};
  apply_add_flags(config, parts);
}

}  // namespace

std::unique_ptr<Tokenizer> read_hf_tokenizer(const JsonNode& root, const std::optional<JsonNode>& config) {
  HfParts parts = read_tokenizer(root);
  AddedTokenList added(*parts.model);
  if (const auto node = root.find("added_tokens")) added.read_tokenizer(*node);
  const auto decoder = config ? config->find("added_tokens_decoder") : std::nullopt;
  if (decoder) added.read_config(*decoder);
  parts.added = AddedTokens(added.take(), [&](std::string_view token) { return parts.normalizer.normalize(token); });
  if (config) read_config(*config, parts);
  return std::make_unique<HfTokenizer>(std::move(parts));
}

}  // namespace caudal
