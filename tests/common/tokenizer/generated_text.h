// Deterministic test strings and hashes, the same as in tests/reference/tokenizers/generated_text.py, so
// that the expected ids of 100,000 strings fit in a few kilobytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/tokenizer/tokenizer.h"

namespace caudal::test {

// Splitmix64; one stream per string.
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t stream);
  std::uint64_t below(std::uint64_t n);

 private:
  std::uint64_t state_;
};

// Words, snippets and characters of generator.json, mixed.
class TextGenerator {
 public:
  TextGenerator();
  std::string text(std::uint64_t seed, std::uint64_t index) const;

 private:
  char32_t character(Random& rng) const;
  void append_segment(Random& rng, std::string& output) const;

  std::vector<std::string> words_;
  std::vector<std::string> snippets_;
  std::vector<std::pair<char32_t, char32_t>> ranges_;
  std::vector<char32_t> spaces_;
};

// Token ids, a few of them past the vocabulary.
std::vector<TokenId> random_ids(std::uint64_t seed, std::uint64_t index, std::uint64_t end_id);

// Order-sensitive hash of sequences of integers below 2^32.
class SequenceHash {
 public:
  void add(std::uint32_t value);
  void end_sequence() { add(0xFFFFFFFF); }
  std::string hex() const;

 private:
  std::uint64_t position_ = 0;
  std::uint64_t sum_ = 0;
};

std::filesystem::path family_dir(const std::string& family);
// The reference tokenizer of a family; the test fails (and ends) when it does not load.
std::unique_ptr<Tokenizer> load_family(const std::string& family);
// All families of tests/reference/tokenizers.
std::vector<std::string> families();

}  // namespace caudal::test
