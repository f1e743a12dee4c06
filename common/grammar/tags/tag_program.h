// Texts, tags and grammars one after another, as instructions for a TagMachine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "common/generation_params.h"
#include "common/grammar/automata/limits.h"
#include "common/grammar/automata/machine.h"
#include "common/grammar/tags/free_text.h"
#include "common/result.h"

namespace caudal::grammar {

using MakeMachine = std::function<std::unique_ptr<Machine>()>;
// Compiles a grammar that stands between texts. See Grammar::compile().
using CompilePart = std::function<Result<MakeMachine>(GrammarKind kind, std::string_view text)>;

inline constexpr std::uint32_t kNowhere = ~0U;

struct TagInstruction {
  enum class Op : std::uint8_t {
    kByte,     // `byte`, then `next`
    kText,     // free text, which may end anywhere with `next` (unless that is kNowhere); its words lead elsewhere
    kGrammar,  // an output of a grammar, then `next`
    kSplit,    // `next` or `other`
    kMatch,    // the end
  };
  Op op = Op::kMatch;
  std::uint8_t byte = 0;
  std::uint32_t next = kNowhere;
  std::uint32_t other = kNowhere;
  std::uint32_t index = 0;  // of the text or the grammar
};

struct TagProgram {
  std::vector<TagInstruction> code;
  std::vector<FreeText> texts;  // the number of a word: the instruction behind it, or kForbidden
  std::vector<MakeMachine> grammars;
  std::uint32_t start = 0;
  static constexpr std::uint32_t kForbidden = FreeText::kNone - 1;
};

// `text`: xgrammar's structural tags, in JSON (common/grammar/README.md). Errors name the place.
Result<TagProgram> compile_tags(std::string_view text, const GrammarLimits& limits, const CompilePart& compile);

}  // namespace caudal::grammar
