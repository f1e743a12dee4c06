// See hf_components.h. Defaults and quirks are those of the reference implementation's serialization.
#include "common/tokenizer/hf_components.h"

#include <fmt/format.h>

#include <utility>

#include "common/text/reference_characters.h"
#include "common/text/unicode.h"

namespace caudal {
namespace {

// Words of GPT-2: contractions, letters, digits, other characters, each with one leading space; white space.
constexpr std::string_view kGpt2Words = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// Digits asks Rust's standard library, which knows Unicode 17 already.
constexpr std::string_view kNumeric = R"([\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}])";
constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // U+2581
constexpr std::size_t kMaxSteps = 64;                    // of one component, sequences flattened

std::string read_character(const JsonNode& node) {
  const std::string_view text = node.string();
  if (text.empty() || decode_utf8(text, 0).num_bytes != text.size()) node.fail("must be one character");
  return std::string(text);
}

// Calls `read(child)` for the node, or for each of the components below it when it is a Sequence.
// Sequences may nest as deep as the JSON parser allows.
template <typename Read>
void for_each_component(const JsonNode& node, std::string_view list_key, const Read& read, std::size_t& num_left) {
  if (node.at("type").string() != "Sequence") {
    if (num_left-- == 0) node.fail(fmt::format("more than {} components", kMaxSteps));
    read(node);
    return;
  }
  const JsonNode list = node.at(list_key);
  for (std::size_t i = 0; i < list.size(); ++i) for_each_component(list.at(i), list_key, read, num_left);
}

SplitBehavior read_behavior(const JsonNode& node) {
  const std::string_view name = node.string();
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  node.fail("must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

using PreTokenizerSteps = std::vector<PreTokenizerStep>;

void add_split(PreTokenizerSteps& steps, const JsonNode& node, Result<Pattern> pattern, SplitBehavior behavior) {
  steps.emplace_back(SplitStep{unwrap(node, std::move(pattern)), behavior, false});
}

void add_class(PreTokenizerSteps& steps, bool (*is_member)(char32_t), SplitBehavior behavior) {
  steps.emplace_back(SplitStep{Pattern::character(is_member), behavior, false});
}

void add_byte_level(PreTokenizerSteps& steps, const JsonNode& node) {
  if (node.flag("add_prefix_space", true)) steps.emplace_back(PrefixStep{" ", false});
  if (node.flag("use_regex", true)) add_split(steps, node, Pattern::regex(kGpt2Words), SplitBehavior::kIsolated);
  steps.emplace_back(ByteAlphabetStep{});
}

enum class PrependScheme : std::uint8_t { kAlways, kFirst, kNever };

// Newer files have prepend_scheme, older ones add_prefix_space.
PrependScheme read_prepend_scheme(const JsonNode& node) {
  if (const std::optional<JsonNode> scheme = node.find("prepend_scheme")) {
    if (scheme->string() == "always") return PrependScheme::kAlways;
    if (scheme->string() == "first") return PrependScheme::kFirst;
    if (scheme->string() == "never") return PrependScheme::kNever;
    scheme->fail("must be always, first or never");
  }
  return node.flag("add_prefix_space", true) ? PrependScheme::kAlways : PrependScheme::kNever;
}

std::string read_replacement(const JsonNode& node) {
  const std::optional<JsonNode> replacement = node.find("replacement");
  return replacement ? read_character(*replacement) : std::string(kMetaspace);
}

void add_metaspace(PreTokenizerSteps& steps, const JsonNode& node) {
  const std::string replacement = read_replacement(node);
  const PrependScheme scheme = read_prepend_scheme(node);
  steps.emplace_back(ReplaceSpacesStep{replacement});
  if (scheme != PrependScheme::kNever) steps.emplace_back(PrefixStep{replacement, scheme == PrependScheme::kFirst});
  if (node.flag("split", true)) {
    add_split(steps, node, Pattern::literal(replacement), SplitBehavior::kMergedWithNext);
  }
}

void add_pre_tokenizer_steps(PreTokenizerSteps& steps, const JsonNode& node) {
  const std::string_view type = node.at("type").string();
  if (type == "ByteLevel") {
    add_byte_level(steps, node);
  } else if (type == "Metaspace") {
    add_metaspace(steps, node);
  } else if (type == "Split") {
    steps.emplace_back(
        SplitStep{read_pattern(node.at("pattern")), read_behavior(node.at("behavior")), node.flag("invert", false)});
  } else if (type == "Digits") {
    const bool individual = node.flag("individual_digits", false);
    add_split(steps, node, Pattern::regex(kNumeric),
              individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
  } else if (type == "WhitespaceSplit") {
    add_split(steps, node, Pattern::regex(R"(\s)"), SplitBehavior::kRemoved);
  } else if (type == "Whitespace") {
    add_class(steps, is_space, SplitBehavior::kRemoved);
    add_class(steps, is_word_character, SplitBehavior::kContiguous);
  } else if (type == "Punctuation") {
    const std::optional<JsonNode> behavior = node.find("behavior");
    add_class(steps, is_punctuation, behavior ? read_behavior(*behavior) : SplitBehavior::kIsolated);
  } else if (type == "BertPreTokenizer") {
    add_class(steps, is_space, SplitBehavior::kRemoved);
    add_class(steps, is_punctuation, SplitBehavior::kIsolated);
  } else if (type == "UnicodeScripts") {
    steps.emplace_back(ScriptStep{});
  } else if (type == "CharDelimiterSplit") {
    add_split(steps, node, Pattern::literal(read_character(node.at("delimiter"))), SplitBehavior::kRemoved);
  } else {
    refuse_type(node, type,
                "Sequence, ByteLevel, Metaspace, Split, Digits, WhitespaceSplit, Whitespace, Punctuation, "
                "BertPreTokenizer, UnicodeScripts, CharDelimiterSplit");
  }
}

DecoderSpec::value_type read_decoder_step(const JsonNode& node) {
  const std::string_view type = node.at("type").string();
  if (type == "ByteLevel") return ByteLevelDecoder{};
  if (type == "ByteFallback") return ByteFallbackDecoder{};
  if (type == "Fuse") return FuseDecoder{};
  if (type == "Replace") {
    return ReplaceDecoder{std::make_shared<const ReplaceStep>(
        ReplaceStep{read_pattern(node.at("pattern")), std::string(node.at("content").string())})};
  }
  if (type == "Strip") {
    constexpr std::int64_t kMaxCount = 1 << 20;
    return StripDecoder{read_character(node.at("content")),
                        static_cast<std::size_t>(node.at("start").integer(0, kMaxCount)),
                        static_cast<std::size_t>(node.at("stop").integer(0, kMaxCount))};
  }
  if (type == "Metaspace") {
    return MetaspaceDecoder{read_replacement(node), read_prepend_scheme(node) != PrependScheme::kNever};
  }
  if (type == "BPEDecoder") {
    const std::optional<JsonNode> suffix = node.find("suffix");
    if (suffix && suffix->string().empty()) suffix->fail("is empty");
    return WordSuffixDecoder{suffix ? std::string(suffix->string()) : "</w>"};
  }
  if (type == "WordPiece") return WordPieceDecoder{std::string(node.text("prefix", "##")), node.flag("cleanup", true)};
  refuse_type(node, type, "Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, BPEDecoder, WordPiece");
}

// RobertaProcessing and BertProcessing: [text, id] of the tokens at both ends.
SurroundingTokens read_ends(const JsonNode& node) {
  const auto id = [&](std::string_view key) {
    const JsonNode pair = node.at(key);
    if (pair.size() != 2) pair.fail("must be a token and its id");
    return static_cast<TokenId>(pair.at(std::size_t{1}).integer(0, kMaxTokenId - 1));
  };
  return {{id("cls")}, {id("sep")}};
}

// The ids of a special token of a template.
std::vector<TokenId> read_template_ids(const JsonNode& node, std::string_view name) {
  const JsonNode ids = node.at("special_tokens").at(name).at("ids");
  std::vector<TokenId> output;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    output.push_back(static_cast<TokenId>(ids.at(i).integer(0, kMaxTokenId - 1)));
  }
  return output;
}

// A template for a single text: special tokens around "$A".
SurroundingTokens read_template(const JsonNode& node) {
  SurroundingTokens surrounding;
  const JsonNode items = node.at("single");
  bool seen_text = false;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const JsonNode item = items.at(i);
    if (const std::optional<JsonNode> sequence = item.find("Sequence")) {
      if (seen_text || sequence->at("id").string() != "A") item.fail("the text A must appear once");
      seen_text = true;
      continue;
    }
    const std::vector<TokenId> ids = read_template_ids(node, item.at("SpecialToken").at("id").string());
    std::vector<TokenId>& side = seen_text ? surrounding.after : surrounding.before;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (!seen_text) items.fail("the text A must appear once");
  return surrounding;
}

}  // namespace

Pattern read_pattern(const JsonNode& node) {
  if (const std::optional<JsonNode> text = node.find("String")) return unwrap(*text, Pattern::literal(text->string()));
  const JsonNode expression = node.at("Regex");
  return unwrap(expression, Pattern::regex(expression.string()));
}

void refuse_type(const JsonNode& node, std::string_view type, std::string_view known) {
  node.at("type").fail(fmt::format("'{}' is not supported; known: {}", type, known));
}

Normalizer read_normalizer(const JsonNode& node) {
  std::vector<NormalizerStep> steps;
  std::size_t num_left = kMaxSteps;
  for_each_component(
      node, "normalizers", [&](const JsonNode& n) { add_normalizer_steps(steps, n); }, num_left);
  return Normalizer(std::move(steps));
}

PreTokenizer read_pre_tokenizer(const JsonNode& node) {
  PreTokenizerSteps steps;
  std::size_t num_left = kMaxSteps;
  for_each_component(
      node, "pretokenizers", [&](const JsonNode& n) { add_pre_tokenizer_steps(steps, n); }, num_left);
  return PreTokenizer(std::move(steps));
}

DecoderSpec read_decoder(const JsonNode& node) {
  DecoderSpec spec;
  std::size_t num_left = kMaxSteps;
  for_each_component(
      node, "decoders", [&](const JsonNode& n) { spec.push_back(read_decoder_step(n)); }, num_left);
  return spec;
}

SurroundingTokens read_post_processor(const JsonNode& node) {
  SurroundingTokens surrounding;
  std::size_t num_left = kMaxSteps;
  const auto read = [&](const JsonNode& n) {
    const std::string_view type = n.at("type").string();
    if (type == "ByteLevel") return;  // trims offsets, which nobody asks for here
    const bool ends = type == "RobertaProcessing" || type == "BertProcessing";
    if (!ends && type != "TemplateProcessing") {
      refuse_type(n, type, "Sequence, ByteLevel, TemplateProcessing, RobertaProcessing, BertProcessing");
    }
    const SurroundingTokens outer = ends ? read_ends(n) : read_template(n);
    surrounding.before.insert(surrounding.before.begin(), outer.before.begin(), outer.before.end());
    surrounding.after.insert(surrounding.after.end(), outer.after.begin(), outer.after.end());
  };
  for_each_component(node, "processors", read, num_left);
  return surrounding;
}

}  // namespace caudal
