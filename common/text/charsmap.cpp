#include "common/text/charsmap.h"

#include <utf8proc.h>

#include <algorithm>

#include "common/text/unicode.h"

namespace caudal {
namespace {

constexpr std::size_t kMaxWholeGrapheme = 5;  // bytes; longer ones are rewritten character by character
const Error kDamaged{"is damaged", ""};

// A unit of the trie, as darts-clone packs it.
bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1) == 1; }
std::uint32_t value_of(std::uint32_t unit) { return unit & 0x7FFFFFFF; }
std::uint32_t label_of(std::uint32_t unit) { return unit & (0x80000000 | 0xFF); }
std::uint32_t offset_of(std::uint32_t unit) { return unit >> 10 << ((unit & 0x200) >> 6); }

// Marks that the reference joins to what is before them, and that are too new for utf8proc.
constexpr char32_t kNewMarks[][2] = {{0x897, 0x897},     {0x1ACF, 0x1ADD},   {0x1AE0, 0x1AEB},   {0x10D69, 0x10D6D},
                                     {0x10EFA, 0x10EFC}, {0x113B8, 0x113C0}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5},
                                     {0x113C7, 0x113CA}, {0x113CC, 0x113D0}, {0x113D2, 0x113D2}, {0x113E1, 0x113E2},
                                     {0x11B60, 0x11B67}, {0x11F5A, 0x11F5A}, {0x1611E, 0x1612F}, {0x1E5EE, 0x1E5EF},
                                     {0x1E6E3, 0x1E6E3}, {0x1E6E6, 0x1E6E6}, {0x1E6EE, 0x1E6EF}, {0x1E6F5, 0x1E6F5}};

bool joins_as_new_mark(char32_t before, char32_t code_point) {
  const auto holds = [&](const auto& range) { return code_point >= range[0] && code_point <= range[1]; };
  if (std::ranges::none_of(kNewMarks, holds)) return false;
  const auto kind = utf8proc_get_property(static_cast<utf8proc_int32_t>(before))->boundclass;
  return kind != UTF8PROC_BOUNDCLASS_CR && kind != UTF8PROC_BOUNDCLASS_LF && kind != UTF8PROC_BOUNDCLASS_CONTROL;
}

// Bytes of the extended grapheme cluster (UAX 29) at the front of `text`.
std::size_t grapheme_size(std::string_view text) {
  CodePoint last = decode_utf8(text, 0);
  std::size_t size = last.num_bytes;
  utf8proc_int32_t state = 0;
  while (size < text.size()) {
    const CodePoint next = decode_utf8(text, size);
    if (joins_as_new_mark(last.value, next.value)) {
      size += next.num_bytes;
      continue;
    }
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(last.value),
                                         static_cast<utf8proc_int32_t>(next.value), &state)) {
      break;
    }
    size += next.num_bytes;
    last = next;
  }
  return size;
}

std::uint32_t read_u32(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value |= static_cast<std::uint32_t>(static_cast<std::uint8_t>(bytes[at + i])) << 8 * i;
  return value;
}

}  // namespace

// Little-endian: the bytes of the trie, the trie, the texts.
Result<CharsMap> CharsMap::parse(std::string_view bytes) {
  if (bytes.size() < 4) return kDamaged;
  const std::size_t trie_bytes = read_u32(bytes, 0);
  if (trie_bytes % 4 != 0 || trie_bytes == 0 || trie_bytes > bytes.size() - 4) return kDamaged;
  CharsMap map;
  map.units_.reserve(trie_bytes / 4);
  for (std::size_t at = 4; at < 4 + trie_bytes; at += 4) map.units_.push_back(read_u32(bytes, at));
  map.texts_ = bytes.substr(4 + trie_bytes);
  return map;
}

std::string_view CharsMap::find(std::string_view piece) const {
  std::size_t node = offset_of(units_[0]);
  for (const char c : piece) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (byte == 0) return {};
    node ^= byte;
    if (node >= units_.size() || label_of(units_[node]) != byte) return {};
    const std::uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (node >= units_.size() || value_of(units_[node]) > texts_.size()) return {};
    return std::string_view(texts_.c_str() + value_of(units_[node]));
  }
  return {};
}

std::string CharsMap::apply(std::string_view text) const {
  std::string output;
  output.reserve(text.size());
  while (!text.empty()) {
    const std::string_view grapheme = text.substr(0, grapheme_size(text));
    text.remove_prefix(grapheme.size());
    const std::string_view whole = grapheme.size() <= kMaxWholeGrapheme ? find(grapheme) : std::string_view();
    if (whole.data() != nullptr) {
      output += whole;
      continue;
    }
    for (std::size_t i = 0; i < grapheme.size();) {
      const std::string_view character = grapheme.substr(i, decode_utf8(grapheme, i).num_bytes);
      const std::string_view mapped = find(character);
      output += mapped.data() != nullptr ? mapped : character;
      i += character.size();
    }
  }
  return output;
}

Result<std::string> decode_base64(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const Error malformed{"is not base64", ""};
  if (text.size() % 4 != 0) return malformed;
  const std::size_t num_pads = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool pad = i >= text.size() - num_pads;
    const std::size_t value = pad ? 0 : kAlphabet.find(text[i]);
    if (value == std::string_view::npos) return malformed;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    if (i % 4 != 3) continue;
    for (const int shift : {16, 8, 0}) bytes += static_cast<char>(bits >> shift & 0xFF);
  }
  bytes.resize(bytes.size() - num_pads);
  return bytes;
}

}  // namespace caudal
