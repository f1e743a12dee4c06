#include "coordinator/gateway/generation/token_bytes.h"

#include <fmt/core.h>

#include <charconv>
#include <memory>
#include <optional>

#include "common/text/unicode.h"
#include "common/tokenizer/detokenizer.h"

namespace caudal {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Of a token spelled in GPT-2's byte alphabet, or as <0xHH>.
std::optional<std::string> raw_bytes(std::string_view spelled) {
  if (spelled.size() == 6 && spelled.starts_with("<0x") && spelled.back() == '>') {
    int byte = 0;
    const auto [end, failed] = std::from_chars(spelled.data() + 3, spelled.data() + 5, byte, 16);
    if (failed == std::errc() && end == spelled.data() + 5) return std::string(1, static_cast<char>(byte));
  }
  std::string bytes;
  for (std::size_t i = 0; i < spelled.size();) {
    const CodePoint character = decode_utf8(spelled, i);
    const int byte = alphabet_to_byte(character.value);
    if (byte < 0) return std::nullopt;
    bytes += static_cast<char>(byte);
    i += character.num_bytes;
  }
  return bytes;
}

std::string find_bytes(const Tokenizer& tokenizer, TokenId id) {
  // The second of two: decoders treat the first token of a text differently.
  IncrementalDetokenizer detokenizer(tokenizer, false);
  std::string first;
  detokenizer.push(id, first);
  std::string text;
  detokenizer.push(id, text);
  detokenizer.finish(text);
  if (text.find(kReplacement) == std::string::npos) return text;
  const std::optional<std::string_view> spelled = tokenizer.id_to_token(id);
  return spelled ? raw_bytes(*spelled).value_or(text) : text;
}

}  // namespace

TokenBytes::TokenBytes(const Tokenizer& tokenizer) : tokenizer_(tokenizer), known_(tokenizer.vocab_size()) {}

TokenBytes::~TokenBytes() {
  for (const auto& bytes : known_) delete bytes.load();
}

const std::string& TokenBytes::of(TokenId id) const {
  static const std::string kNothing;
  const std::size_t index = id;
  if (index >= known_.size()) return kNothing;
  if (const std::string* bytes = known_[index].load()) return *bytes;
  auto found = std::make_unique<const std::string>(find_bytes(tokenizer_, id));
  const std::string* before = nullptr;
  if (!known_[index].compare_exchange_strong(before, found.get())) return *before;  // another thread was first
  return *found.release();
}

std::string token_name(const std::string& bytes) {
  if (is_valid_utf8(bytes)) return bytes;
  std::string name = "bytes:";
  for (const char byte : bytes) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return name;
}

}  // namespace caudal
