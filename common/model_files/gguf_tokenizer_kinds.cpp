#include "common/model_files/gguf_tokenizer_kinds.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

namespace caudal {
namespace {

constexpr std::string_view kByteLevel = R"({"type":"ByteLevel"})";

constexpr GgufTokenizerKind kGpt2{"", R"({"type":"ByteLevel","add_prefix_space":false})", kByteLevel};

constexpr GgufTokenizerKind kSmolLm{"",
                                    R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)"
                                    R"({"type":"ByteLevel","add_prefix_space":false}]})",
                                    kByteLevel};

constexpr GgufTokenizerKind kLlama3{
    "",
    R"json({"type":"Sequence","pretokenizers":[{"type":"Split","behavior":"Isolated","pattern":{"Regex":")json"
    R"json((?i:'s|'t|'re|'ve|'m|'ll|'d))json"
    R"json(|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3})json"
    R"json(| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*)json"
    R"json(|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)json"
    R"json("}},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})json",
    kByteLevel, /*ignore_merges=*/true, /*add_bos=*/true};

constexpr GgufTokenizerKind kQwen2{
    R"({"type":"NFC"})",
    R"json({"type":"Sequence","pretokenizers":[{"type":"Split","behavior":"Isolated","pattern":{"Regex":")json"
    R"json((?i:'s|'t|'re|'ve|'m|'ll|'d))json"
    R"json(|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N})json"
    R"json(| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*)json"
    R"json(|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)json"
    R"json("}},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})json",
    kByteLevel};

constexpr GgufTokenizerKind kTekken{
    "",
    R"json({"type":"Sequence","pretokenizers":[{"type":"Split","behavior":"Isolated","pattern":{"Regex":")json"
    R"json([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+)json"
    R"json(|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*)json"
    R"json(|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*)json"
    R"json(|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)json"
    R"json("}},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})json",
    kByteLevel, /*ignore_merges=*/true, /*add_bos=*/true};

// What llama.cpp does where it does not know better: the expressions apply one after the other, each to what the ones
// before have cut.
constexpr GgufTokenizerKind kDefault{
    "",
    R"json({"type":"Sequence","pretokenizers":[)json"
    R"json({"type":"Split","behavior":"Isolated","pattern":{"Regex":"[\\p{P}\\$\\+<=>\\^~\\|]+"}},)json"
    R"json({"type":"Split","behavior":"Isolated","pattern":{"Regex":")json"
    R"json('s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"}},)json"
    R"json({"type":"Split","behavior":"Isolated","pattern":{"Regex":"\\p{N}+"}},)json"
    R"json({"type":"Split","behavior":"Isolated","pattern":{"Regex":"[0-9][0-9][0-9]"}},)json"
    R"json({"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})json",
    kByteLevel};

// SentencePiece's: every space is a U+2581, and, with a prefix, one more stands in front of the text.
constexpr GgufTokenizerKind kSentencePiece{
    R"({"type":"Replace","pattern":{"String":" "},"content":"\u2581"})", "",
    R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"\u2581"},"content":" "},)"
    R"({"type":"ByteFallback"},{"type":"Fuse"}]})",
    /*ignore_merges=*/false, /*add_bos=*/true};
constexpr GgufTokenizerKind kSentencePieceWithPrefix{
    R"({"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"\u2581"},)"
    R"({"type":"Replace","pattern":{"String":" "},"content":"\u2581"}]})",
    "",
    R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"\u2581"},"content":" "},)"
    R"({"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]})",
    /*ignore_merges=*/false, /*add_bos=*/true};

struct NamedKind {
  std::string_view name;
  const GgufTokenizerKind& kind;
};
constexpr std::array kKinds = {
    NamedKind{"default", kDefault},  NamedKind{"gpt-2", kGpt2},      NamedKind{"smollm", kSmolLm},
    NamedKind{"starcoder", kSmolLm}, NamedKind{"refact", kSmolLm},   NamedKind{"llama-bpe", kLlama3},
    NamedKind{"llama3", kLlama3},    NamedKind{"llama-v3", kLlama3}, NamedKind{"falcon3", kLlama3},
    NamedKind{"pixtral", kLlama3},   NamedKind{"qwen2", kQwen2},     NamedKind{"deepseek-r1-qwen", kQwen2},
    NamedKind{"megrez", kQwen2},     NamedKind{"tekken", kTekken},
};

}  // namespace

const GgufTokenizerKind& bpe_kind(const JsonNode& metadata) {
  const std::string_view name = metadata.text("tokenizer.ggml.pre", "default");
  const auto* found = std::ranges::find(kKinds, name, &NamedKind::name);
  if (found != kKinds.end()) return found->kind;
  std::vector<std::string_view> known;
  known.reserve(kKinds.size());
  for (const NamedKind& kind : kKinds) known.push_back(kind.name);
  metadata.fail_at("tokenizer.ggml.pre", fmt::format("is not known; known are {}", fmt::join(known, ", ")));
}

const GgufTokenizerKind& sentence_piece_kind(const JsonNode& metadata) {
  return metadata.flag("tokenizer.ggml.add_space_prefix", true) ? kSentencePieceWithPrefix : kSentencePiece;
}

}  // namespace caudal
