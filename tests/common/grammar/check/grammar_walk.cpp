// Writes documents as a model would that takes any token which the mask allows:
//   grammar_walk --tokenizer FILE --schema FILE --walks N --seed S
// One document a line, as a JSON string; an empty one for a walk that found no end. See walks.py.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "common/command_line.h"
#include "common/grammar/matcher.h"
#include "common/json/strict_json.h"
#include "tests/common/grammar/check/tokenizer_file.h"

namespace caudal {
namespace {

constexpr std::size_t kFreeTokens = 60;   // that are taken at random
constexpr std::size_t kMaxTokens = 1000;  // until then the way to an end is looked for

// How much a token helps to end the document, after so much was written: the lower the more.
int rank(std::string_view token) {
  static constexpr std::string_view kOrder = "}]\",:0123456789efn";
  const auto place = kOrder.find(token.front());
  return static_cast<int>(token.size()) * 100 + static_cast<int>(std::min(place, kOrder.size()));
}

// The names that the schema requires somewhere: no walk over random letters would find them.
void add_required(const boost::json::value& schema, std::set<std::string>& names) {
  if (const auto* items = schema.if_array()) {
    for (const auto& item : *items) add_required(item, names);
  }
  if (!schema.is_object()) return;
  for (const auto& member : schema.get_object()) {
    add_required(member.value(), names);
    if (member.key() != "required" || !member.value().is_array()) continue;
    for (const auto& name : member.value().get_array()) {
      if (name.is_string()) names.emplace(name.get_string());
    }
  }
}

class Walker {
 public:
  Walker(const Tokenizer& tokenizer, const std::shared_ptr<const grammar::Grammar>& grammar,
         std::shared_ptr<const grammar::TokenVocabulary> vocabulary, unsigned seed, const std::set<std::string>& names)
      : vocabulary_(std::move(vocabulary)), fresh_(grammar, vocabulary_), random_(seed) {
    for (const std::string& name : names) {
      std::string key;
      append_json_string(key, name);
      keys_.push_back(tokenizer.encode(key, {.add_special_tokens = false, .parse_special = false}));
    }
  }

  std::string walk() {
    grammar::Matcher matcher = fresh_;
    std::vector<std::uint64_t> mask(vocabulary_->mask_words());
    std::string text;
    for (std::size_t n = 0; n < kMaxTokens; ++n) {
      const bool may_end = matcher.is_complete();
      if (may_end && (n >= kFreeTokens || random_() % 4 == 0)) return text;
      if (n >= kFreeTokens || random_() % 2 == 0) add_key(matcher, text);
      matcher.fill_mask(mask);
      const TokenId token = choose(mask, n < kFreeTokens);
      if (token < 0) return may_end ? text : "";
      if (!matcher.accept(token)) return "the mask and the matcher disagree";
      text += vocabulary_->bytes(token);
    }
    return "";
  }

 private:
  // One of the required names, where a key may stand.
  void add_key(grammar::Matcher& matcher, std::string& text) {
    const std::size_t last = text.find_last_not_of(" \t\r\n");
    if (last == std::string::npos || (text[last] != '{' && text[last] != ',')) return;
    const std::size_t first = keys_.empty() ? 0 : random_() % keys_.size();
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      const std::vector<TokenId>& key = keys_[(first + i) % keys_.size()];
      std::size_t n = 0;
      while (n < key.size() && matcher.accept(key[n])) ++n;
      if (n < key.size()) {
        matcher.rollback(n);
        continue;
      }
      for (const TokenId token : key) text += vocabulary_->bytes(token);
      return;
    }
  }

  TokenId choose(const std::vector<std::uint64_t>& mask, bool at_random) {
    std::vector<TokenId> allowed;
    for (TokenId token = 0; token < static_cast<TokenId>(vocabulary_->size()); ++token) {
      const bool is_allowed = (mask[static_cast<std::size_t>(token) / 64] >> (token % 64) & 1) != 0;
      if (is_allowed && !vocabulary_->is_end(token)) allowed.push_back(token);
    }
    if (allowed.empty()) return -1;
    if (at_random) return allowed[random_() % allowed.size()];
    if (random_() % 2 == 0) {  // some character that a pattern may wait for
      std::vector<TokenId> short_ones;
      for (const TokenId token : allowed) {
        const std::string_view bytes = vocabulary_->bytes(token);
        if (bytes.size() == 1 && bytes[0] > ' ' && bytes[0] != '[' && bytes[0] != '{') short_ones.push_back(token);
      }
      if (!short_ones.empty()) return short_ones[random_() % short_ones.size()];
    }
    return *std::ranges::min_element(allowed, {}, [&](TokenId token) { return rank(vocabulary_->bytes(token)); });
  }

  std::shared_ptr<const grammar::TokenVocabulary> vocabulary_;
  grammar::Matcher fresh_;
  std::mt19937 random_;
  std::vector<std::vector<TokenId>> keys_;
};

int run(int argc, char** argv) {
  std::string tokenizer_file;
  std::string schema_file;
  std::int32_t walks = 1;
  std::int32_t seed = 0;
  CommandLine line("Writes random documents that a JSON Schema allows", "grammar_walk");
  line.add("--tokenizer", tokenizer_file, "tokenizer.json whose tokens are taken").required().existing_file();
  line.add("--schema", schema_file, "JSON Schema").required().existing_file();
  line.add("--walks", walks, "documents to write");
  line.add("--seed", seed, "seed of the random tokens");
  if (const auto exit_code = line.parse_or_say(argc, argv)) return *exit_code;
  const auto tokenizer = read_tokenizer_file(tokenizer_file);
  std::ifstream stream(schema_file, std::ios::binary);
  std::stringstream schema;
  schema << stream.rdbuf();
  const auto grammar = grammar::Grammar::compile(grammar::GrammarKind::kJsonSchema, schema.str());
  if (!tokenizer || !grammar) {
    fmt::print(stderr, "{}\n", !tokenizer ? tokenizer.error().message : grammar.error().message);
    return 3;
  }
  const auto vocabulary =
      std::make_shared<const grammar::TokenVocabulary>(grammar::TokenVocabulary::of(*tokenizer.value(), {}));
  std::set<std::string> names;
  add_required(boost::json::parse(schema.str()), names);
  Walker walker(*tokenizer.value(), grammar.value(), vocabulary, static_cast<unsigned>(seed), names);
  for (std::int32_t i = 0; i < walks; ++i) {
    std::string text;
    append_json_string(text, walker.walk());
    fmt::print("{}\n", text);
  }
  return 0;
}

}  // namespace
}  // namespace caudal

int main(int argc, char** argv) { return caudal::run(argc, argv); }
