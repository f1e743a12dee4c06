// See hf_components.h: the normalizers.
#include <fmt/format.h>

#include "common/text/reference_characters.h"
#include "common/text/unicode.h"
#include "common/tokenizer/hf_components.h"

namespace caudal {
namespace {

using Steps = std::vector<NormalizerStep>;

void drop_combining_mark(std::string& output, char32_t c) {
  if (!is_combining_mark(c)) append_utf8(output, c);
}

void drop_nonspacing_mark(std::string& output, char32_t c) {
  if (!is_nonspacing_mark(c)) append_utf8(output, c);
}

// The cleaning of BERT.
void clean(std::string& output, char32_t c) {
  if (is_unclean(c)) return;
  append_utf8(output, is_space(c) ? U' ' : c);
}

void space_chinese(std::string& output, char32_t c) {
  const bool chinese = is_chinese(c);
  if (chinese) output += ' ';
  append_utf8(output, c);
  if (chinese) output += ' ';
}

// SentencePiece's rules "nmt" without its Unicode normalization.
void map_nmt(std::string& output, char32_t c) {
  const bool control =
      (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
  if (control) return;
  const bool space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                     c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
  append_utf8(output, space ? U' ' : c);
}

void spell_bytes(std::string& output, char32_t c) {
  std::string bytes;
  append_utf8(bytes, c);
  for (const char byte : bytes) output += byte_to_alphabet(static_cast<std::uint8_t>(byte));
}

void add_bert(Steps& steps, const JsonNode& node) {
  const bool lowercase = node.flag("lowercase", true);
  if (node.flag("clean_text", true)) steps.emplace_back(MapStep{clean});
  if (node.flag("handle_chinese_chars", true)) steps.emplace_back(MapStep{space_chinese});
  if (node.flag("strip_accents", lowercase)) {
    steps.emplace_back(NormalForm::kNfd);
    steps.emplace_back(MapStep{drop_nonspacing_mark});
  }
  if (lowercase) steps.emplace_back(MapStep{append_lower_case});
}

CharsMapStep read_charsmap(const JsonNode& node) {
  const std::string bytes = unwrap(node, decode_base64(node.string()));
  return {unwrap(node, CharsMap::parse(bytes))};
}

}  // namespace

void add_normalizer_steps(Steps& steps, const JsonNode& node) {
  const std::string_view type = node.at("type").string();
  if (type == "NFC") {
    steps.emplace_back(NormalForm::kNfc);
  } else if (type == "NFD") {
    steps.emplace_back(NormalForm::kNfd);
  } else if (type == "NFKC") {
    steps.emplace_back(NormalForm::kNfkc);
  } else if (type == "NFKD") {
    steps.emplace_back(NormalForm::kNfkd);
  } else if (type == "Prepend") {
    steps.emplace_back(PrependStep{std::string(node.at("prepend").string())});
  } else if (type == "Replace") {
    steps.emplace_back(ReplaceStep{read_pattern(node.at("pattern")), std::string(node.at("content").string())});
  } else if (type == "Lowercase") {
    steps.emplace_back(MapStep{append_lower_case});
  } else if (type == "Strip") {
    steps.emplace_back(TrimStep{node.flag("strip_left", true), node.flag("strip_right", true)});
  } else if (type == "StripAccents") {
    steps.emplace_back(MapStep{drop_combining_mark});
  } else if (type == "Nmt") {
    steps.emplace_back(MapStep{map_nmt});
  } else if (type == "ByteLevel") {
    steps.emplace_back(MapStep{spell_bytes});
  } else if (type == "BertNormalizer") {
    add_bert(steps, node);
  } else if (type == "Precompiled") {
    steps.emplace_back(read_charsmap(node.at("precompiled_charsmap")));
  } else {
    refuse_type(node, type,
                "Sequence, NFC, NFD, NFKC, NFKD, Prepend, Replace, Lowercase, Strip, StripAccents, Nmt, ByteLevel, "
                "BertNormalizer, Precompiled");
  }
}

}  // namespace caudal
