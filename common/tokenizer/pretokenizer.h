// The pre-tokenizer: cuts normalized text into the words that BPE works on. All kinds that tokenizer.json
// knows (ByteLevel, Split, Metaspace, Digits, ...) are made of the steps below (hf_components.cpp).
// Immutable after loading; safe from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "common/text/pattern.h"

namespace caudal {

// Text with the words it is cut into: ascending, not overlapping, none empty.
struct Words {
  std::string text;
  std::vector<Span> spans;
  bool starts_input;  // the first span starts where the user's text starts (no token or word before it)
};

// What becomes of a match and of its neighbours.
enum class SplitBehavior : std::uint8_t { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Puts `prefix` before words that do not start with it.
struct PrefixStep {
  std::string prefix;
  bool only_first;  // only the word at the very start of the input
};

// Every space becomes `replacement`.
struct ReplaceSpacesStep {
  std::string replacement;
};

struct SplitStep {
  Pattern pattern;
  SplitBehavior behavior;
  bool invert;  // what does not match counts as the match
};

// Every byte becomes its character of the byte-level alphabet (unicode.h).
struct ByteAlphabetStep {};

// Cuts where the script changes. White space at the front goes, as the reference implementation has it.
struct ScriptStep {};

using PreTokenizerStep = std::variant<PrefixStep, ReplaceSpacesStep, SplitStep, ByteAlphabetStep, ScriptStep>;

class PreTokenizer {
 public:
  PreTokenizer() = default;  // one word: the whole text
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps) : steps_(std::move(steps)) {}

  // `text` is valid UTF-8; `starts_input` as in Words.
  Words split(std::string text, bool starts_input) const;

 private:
  std::vector<PreTokenizerStep> steps_;
};

}  // namespace caudal
