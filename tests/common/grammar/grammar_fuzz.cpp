// libFuzzer's target for grammars of all kinds: a byte for the kind, the grammar's text up to a NUL, and an output. The
// preset "fuzz" builds it, tests/nightly.sh runs it:
//   grammar_fuzz [libFuzzer's options] CORPUS
// Whatever is compiled is followed: what the mask says is what is accepted, and a token taken back leaves no trace.
#include <fmt/core.h>

#include <cstdlib>
#include <string_view>

#include "common/grammar/matcher.h"
#include "tests/common/grammar/small_vocabulary.h"

namespace {

using caudal::grammar::Grammar;
using caudal::grammar::GrammarKind;
using caudal::grammar::Matcher;

void require(bool holds, const char* what) {
  if (holds) return;
  fmt::print(stderr, "{}\n", what);
  std::abort();
}

void follow(const std::shared_ptr<const Grammar>& grammar, std::string_view output) {
  static const auto vocabulary = caudal::grammar::small_vocabulary();
  Matcher matcher(grammar, vocabulary);
  std::vector<std::uint64_t> mask(vocabulary->mask_words());
  std::vector<std::uint64_t> again(vocabulary->mask_words());
  for (const char c : output.substr(0, 64)) {
    const auto token = static_cast<caudal::TokenId>(static_cast<std::uint8_t>(c) % vocabulary->size());
    matcher.fill_mask(mask);
    const bool is_allowed = caudal::grammar::has(mask, token);
    require(matcher.accept(token) == is_allowed, "the mask and the matcher disagree");
    if (!is_allowed) continue;
    matcher.rollback(1);
    matcher.fill_mask(again);
    require(mask == again, "a token that was taken back left a trace");
    matcher.accept(token);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static constexpr GrammarKind kKinds[] = {GrammarKind::kJsonSchema, GrammarKind::kRegex,   GrammarKind::kGbnf,
                                           GrammarKind::kLark,       GrammarKind::kChoices, GrammarKind::kTags};
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string_view text = input.substr(0, input.find('\0'));
  caudal::grammar::GrammarLimits limits;
  limits.max_states = 500;
  limits.max_pattern_instructions = 2000;
  const auto grammar = Grammar::compile(kKinds[data[0] % std::size(kKinds)], text, limits);
  if (grammar) follow(grammar.value(), input.substr(std::min(input.size(), text.size() + 1)));
  return 0;
}
