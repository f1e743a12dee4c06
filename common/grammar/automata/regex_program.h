// Regular expressions as instructions over bytes, which lazy_dfa.h makes deterministic while it runs.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "common/grammar/automata/character_class.h"
#include "common/result.h"

namespace caudal::grammar {

inline constexpr std::uint32_t kNoBound = std::numeric_limits<std::uint32_t>::max();

struct Instruction {
  enum class Op : std::uint8_t {
    kByte,      // a byte from first to last, then `next`
    kSplit,     // `next` or `other`
    kStart,     // only at the start of the text
    kEnd,       // only at its end
    kAhead,     // what is at `other` matches from here on
    kNotAhead,  // it does not
    kMatch,     // the whole text
    kMatchAll,  // whatever follows
    kCall,      // of an EBNF: the rule that starts at `other`, then `next`
    kFail,
  };
  Op op = Op::kFail;
  std::uint8_t first = 0;
  std::uint8_t last = 0;
  std::uint32_t next = 0;
  std::uint32_t other = 0;
};

struct RegexProgram {
  std::vector<Instruction> code;
  std::uint32_t start = 0;
  bool looks_ahead = false;
  bool can_always_match = false;   // whatever the text begins with
  std::uint32_t max_distance = 0;  // the most that `min_characters` is
  // By instruction: whether it can lead to a match, and the fewest and most characters on the way (look-ahead aside).
  std::vector<std::uint8_t> can_match;
  std::vector<std::uint8_t> ends;  // whether it does so without another byte, at the end of the text
  std::vector<std::uint32_t> min_characters;
  std::vector<std::uint32_t> max_characters;

  void analyze();  // fills in what follows from `code`
};

enum class RegexExtent : std::uint8_t {
  kWhole,   // the expression matches the whole text
  kSearch,  // or any part of it, as a schema's `pattern`
};

// ECMA 262 with the u flag's characters. Errors: message with "at character N"; syntax, back references, look-behind,
// word boundaries, more than `max_instructions`.
Result<RegexProgram> compile_regex(std::string_view pattern, RegexExtent extent, std::size_t max_instructions);

// The rules of an EBNF, each from its start, by index, to a kMatch that returns from it.
struct RuleProgram {
  std::vector<Instruction> code;
  std::vector<std::uint32_t> starts;
};
struct RegexNode;
Result<RuleProgram> compile_rules(const std::vector<RegexNode>& rules, std::size_t max_instructions);

// The whole text is one of these.
RegexProgram compile_words(const std::vector<std::string>& words);

}  // namespace caudal::grammar
