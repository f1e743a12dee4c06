// The normalizer: rewrites text before it is cut into words. A list of the steps that the supported
// tokenizer families use. Immutable after loading; safe from any thread.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "common/text/charsmap.h"
#include "common/text/normal_form.h"
#include "common/text/pattern.h"

namespace caudal {

// `prefix` goes before any text that is not empty.
struct PrependStep {
  std::string prefix;
};

struct ReplaceStep {
  Pattern pattern;
  std::string replacement;

  std::string apply(std::string_view text) const;
};

// Appends what becomes of one character.
struct MapStep {
  void (*map)(std::string& output, char32_t character);
};

// Takes away white space at the ends.
struct TrimStep {
  bool left;
  bool right;
};

struct CharsMapStep {
  CharsMap map;
};

using NormalizerStep = std::variant<NormalForm, PrependStep, ReplaceStep, MapStep, TrimStep, CharsMapStep>;

class Normalizer {
 public:
  Normalizer() = default;  // leaves text as it is
  explicit Normalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {}

  // `text` is valid UTF-8.
  std::string normalize(std::string_view text) const;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace caudal
