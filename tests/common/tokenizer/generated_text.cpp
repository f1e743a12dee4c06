// See generated_text.h.
#include "tests/common/tokenizer/generated_text.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <fstream>
#include <iterator>

#include "common/model_files/model_files.h"
#include "common/text/unicode.h"

namespace caudal::test {
namespace {

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15;

std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

std::filesystem::path reference_dir() { return std::filesystem::path(CAUDAL_TEST_DATA) / "reference/tokenizers"; }

std::vector<std::string> strings(const boost::json::value& list) {
  std::vector<std::string> output;
  for (const auto& item : list.as_array()) output.emplace_back(item.as_string());
  return output;
}

char32_t any_character(Random& rng) {
  const std::uint64_t plane = rng.below(17) << 16;
  const std::uint64_t c = plane + rng.below(0x10000);
  return c >= 0xD800 && c < 0xE000 ? U'\uFFFD' : static_cast<char32_t>(c);
}

char32_t from_range(Random& rng, std::pair<char32_t, char32_t> range) {
  return range.first + static_cast<char32_t>(rng.below(range.second - range.first + 1));
}

}  // namespace

Random::Random(std::uint64_t seed, std::uint64_t stream) : state_(mix(seed + stream * kGolden)) {}

std::uint64_t Random::below(std::uint64_t n) {
  state_ += kGolden;
  return mix(state_) % n;
}

TextGenerator::TextGenerator() {
  std::ifstream file(reference_dir() / "generator.json");
  const std::string json((std::istreambuf_iterator<char>(file)), {});
  const boost::json::value spec = boost::json::parse(json);
  words_ = strings(spec.at("words"));
  snippets_ = strings(spec.at("snippets"));
  for (const auto& range : spec.at("ranges").as_array()) {
    ranges_.emplace_back(static_cast<char32_t>(range.at(0).as_int64()), static_cast<char32_t>(range.at(1).as_int64()));
  }
  for (const auto& space : spec.at("spaces").as_array()) spaces_.push_back(static_cast<char32_t>(space.as_int64()));
}

char32_t TextGenerator::character(Random& rng) const { return from_range(rng, ranges_[rng.below(ranges_.size())]); }

void TextGenerator::append_segment(Random& rng, std::string& output) const {
  const std::uint64_t kind = rng.below(10);
  if (kind < 3) {
    if (rng.below(4) != 0) output += ' ';
    output += words_[rng.below(words_.size())];
  } else if (kind < 5) {
    output += snippets_[rng.below(snippets_.size())];
  } else if (kind == 5) {
    const auto range = ranges_[rng.below(ranges_.size())];
    for (std::uint64_t n = 1 + rng.below(8); n > 0; --n) append_utf8(output, from_range(rng, range));
  } else if (kind == 6) {
    for (std::uint64_t n = 1 + rng.below(6); n > 0; --n) append_utf8(output, character(rng));
  } else if (kind == 7) {
    for (std::uint64_t n = 1 + rng.below(4); n > 0; --n) append_utf8(output, any_character(rng));
  } else if (kind == 8) {
    const char32_t c = rng.below(2) != 0 ? character(rng) : static_cast<char32_t>(32 + rng.below(95));
    const std::uint64_t limit = rng.below(40) == 0 ? 600 : 12;
    for (std::uint64_t n = 1 + rng.below(limit); n > 0; --n) append_utf8(output, c);
  } else {
    for (std::uint64_t n = 1 + rng.below(5); n > 0; --n) append_utf8(output, spaces_[rng.below(spaces_.size())]);
  }
}

std::string TextGenerator::text(std::uint64_t seed, std::uint64_t index) const {
  Random rng(seed, index);
  std::string output;
  for (std::uint64_t n = rng.below(12); n > 0; --n) append_segment(rng, output);
  return output;
}

std::vector<TokenId> random_ids(std::uint64_t seed, std::uint64_t index, std::uint64_t end_id) {
  Random rng(seed, index);
  std::vector<TokenId> ids(rng.below(24));
  for (TokenId& id : ids) id = static_cast<TokenId>(rng.below(end_id + 2));
  return ids;
}

void SequenceHash::add(std::uint32_t value) { sum_ += mix(value + position_++ * kGolden); }

std::string SequenceHash::hex() const { return fmt::format("{:016x}", sum_); }

std::filesystem::path family_dir(const std::string& family) { return reference_dir() / family; }

std::unique_ptr<Tokenizer> load_family(const std::string& family) {
  Result<std::unique_ptr<Tokenizer>> tokenizer = load_tokenizer(family_dir(family));
  CHECK_MSG(tokenizer.ok(), tokenizer.error().message.c_str());
  return std::move(tokenizer).value();
}

std::vector<std::string> families() {
  return {"gpt2",    "llama3",        "qwen2", "llama2", "mistral", "metaspace", "o200k", "splits", "bert",
          "unigram", "unigram_bytes", "words", "falcon", "gpt1",    "prefixed",  "bloom", "classes"};
}

}  // namespace caudal::test
