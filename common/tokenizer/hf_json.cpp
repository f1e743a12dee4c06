// load_tokenizer: reads tokenizer.json and tokenizer_config.json of a model directory. Files are from
// outside: sizes and depths are bounded, and everything wrong is an Error with file and field.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <charconv>
#include <fstream>
#include <utility>

#include "common/tokenizer/hf_components.h"
#include "common/tokenizer/hf_tokenizer.h"
#include "common/tokenizer/json_node.h"
#include "common/tokenizer/tokenizer.h"

namespace caudal {
namespace {

constexpr std::uintmax_t kMaxFileBytes = 256U << 20;

boost::json::value parse_file(const std::filesystem::path& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) throw JsonError{{"cannot be read: " + error.message(), ""}};
  if (size > kMaxFileBytes) throw JsonError{{fmt::format("is larger than {} bytes", kMaxFileBytes), ""}};
  std::string text(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) throw JsonError{{"cannot be read", ""}};
  boost::json::value document = boost::json::parse(text, error);
  if (error) throw JsonError{{"is not valid JSON: " + error.message(), ""}};
  return document;
}

// The added tokens of tokenizer.json, then those of tokenizer_config.json: same id or text means the same
// token, and the config has the last word about its flags.
class AddedTokenList {
 public:
  explicit AddedTokenList(const BpeModel& model) : model_(model) {}

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
      const JsonNode node(value, fmt::format("{}.{}", map.path(), std::string_view(key)));
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

  const BpeModel& model_;
  std::vector<AddedToken> tokens_;
};

// "<s>" or {"content": "<s>", ...}; nothing when the config has none or the vocabulary does not know it.
std::optional<TokenId> named_token(const JsonNode& config, std::string_view key, const HfParts& parts) {
  const std::optional<JsonNode> node = config.find(key);
  if (!node) return std::nullopt;
  const std::string_view content = node->is_object() ? node->at("content").string() : node->string();
  if (const AddedToken* added = parts.added.by_content(content)) return added->id;
  return parts.model.token_to_id(content);
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

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::filesystem::path& model_dir) {
  std::string file = "tokenizer.json";
  try {
    const boost::json::value document = parse_file(model_dir / file);
    const JsonNode root(document, "");
    HfParts parts = read_tokenizer(root);
    AddedTokenList added(parts.model);
    if (const auto node = root.find("added_tokens")) added.read_tokenizer(*node);

    file = "tokenizer_config.json";
    boost::json::value config_document = boost::json::object();
    if (std::filesystem::exists(model_dir / file)) config_document = parse_file(model_dir / file);
    const JsonNode config(config_document, "");
    if (const auto node = config.find("added_tokens_decoder")) added.read_config(*node);
    parts.added = AddedTokens(added.take(), [&](std::string_view token) { return parts.normalizer.normalize(token); });
    read_config(config, parts);
    return std::unique_ptr<Tokenizer>(std::make_unique<HfTokenizer>(std::move(parts)));
  } catch (const JsonError& failure) {
    const Error& error = failure.error;
    return Error{fmt::format("{}: {}{}{}", file, error.field, error.field.empty() ? "" : " ", error.message),
                 error.field.empty() ? file : fmt::format("{}:{}", file, error.field)};
  }
}

}  // namespace caudal
