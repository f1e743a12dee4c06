// Regular expressions against the standard library's, and what is refused.
#include <gtest/gtest.h>

#include <random>
#include <regex>

#include "common/grammar/automata/lazy_dfa.h"

namespace caudal::grammar {
namespace {

constexpr std::size_t kMaxInstructions = 20'000;

bool matches(const RegexProgram& program, std::string_view text) {
  LazyDfa dfa(program, 10'000);
  std::uint32_t state = dfa.start();
  for (const char c : text) state = dfa.next(state, static_cast<std::uint8_t>(c));
  return dfa.accepts(state);
}

bool matches(std::string_view pattern, std::string_view text, RegexExtent extent = RegexExtent::kWhole) {
  const auto program = compile_regex(pattern, extent, kMaxInstructions);
  EXPECT_TRUE(program) << pattern << ": " << program.error().message;
  return program && matches(program.value(), text);
}

class RandomRegex {
 public:
  explicit RandomRegex(unsigned seed) : random_(seed) {}

  std::string alternatives(int depth) {
    std::string text = sequence(depth);
    for (std::size_t i = below(3); i > 1; --i) text += "|" + sequence(depth);
    return text;
  }
  std::string text() {
    std::string result;
    for (std::size_t i = below(7); i > 0; --i) result += "abc-"[below(4)];
    return result;
  }
  std::size_t below(std::size_t n) { return random_() % n; }

 private:
  std::string sequence(int depth) {
    std::string text;
    for (std::size_t i = below(4); i > 0; --i) text += atom(depth) + quantifier();
    return text;
  }
  std::string quantifier() {
    static const std::vector<std::string> quantifiers{"", "", "", "*", "+", "?", "{2}", "{1,2}", "{0,}"};
    return quantifiers[below(quantifiers.size())];
  }
  std::string atom(int depth) {
    static const std::vector<std::string> atoms{"a", "b", "c", "-", ".", "[ab]", "[^a]", "\\w", "[a-c-]"};
    if (depth == 0 || below(4) != 0) return atoms[below(atoms.size())];
    return (below(4) == 0 ? "(?" + std::string(below(2) == 0 ? "=" : "!") : "(?:") + alternatives(0) + ")";
  }
  std::mt19937 random_;
};

TEST(Regex, AgreesWithTheStandardLibrary) {
  RandomRegex random(1);
  for (int i = 0; i < 250; ++i) {
    std::string pattern = random.alternatives(2);
    if (random.below(3) == 0) pattern = "^" + pattern;
    if (random.below(3) == 0) pattern += "$";
    std::optional<std::regex> reference;
    try {
      reference.emplace(pattern);
    } catch (const std::regex_error&) {
      continue;  // a quantifier behind look-ahead
    }
    const auto whole = compile_regex(pattern, RegexExtent::kWhole, kMaxInstructions);
    const auto search = compile_regex(pattern, RegexExtent::kSearch, kMaxInstructions);
    ASSERT_TRUE(whole && search) << pattern;
    for (int n = 0; n < 10; ++n) {
      const std::string text = random.text();
      EXPECT_EQ(matches(whole.value(), text), std::regex_match(text, *reference)) << pattern << " of " << text;
      EXPECT_EQ(matches(search.value(), text), std::regex_search(text, *reference)) << pattern << " in " << text;
    }
  }
}

// Of a state that is not dead some text leads to a match, and of a dead one none.
TEST(Regex, DeadMeansThatNothingMatches) {
  RandomRegex random(2);
  for (int i = 0; i < 40; ++i) {
    const std::string pattern = "^" + random.alternatives(2) + "$";
    const auto program = compile_regex(pattern, RegexExtent::kSearch, kMaxInstructions);
    if (!program) continue;
    LazyDfa dfa(program.value(), 10'000);
    std::set<std::uint32_t> seen{dfa.start()};
    std::vector<std::uint32_t> todo{dfa.start()};
    bool accepts = dfa.accepts(dfa.start());
    for (; !todo.empty() && seen.size() < 200;) {
      const std::uint32_t state = todo.back();
      todo.pop_back();
      for (const std::uint8_t byte : dfa.representatives()) {
        const std::uint32_t to = dfa.next(state, byte);
        if (to == LazyDfa::kDead) continue;
        accepts = accepts || dfa.accepts(to);
        if (seen.insert(to).second) todo.push_back(to);
      }
    }
    if (seen.size() < 200) {
      EXPECT_EQ(dfa.start() != LazyDfa::kDead, accepts) << pattern;
    }
  }
}

TEST(Regex, TakesWholeCharacters) {
  EXPECT_TRUE(matches("^.$", "\xC3\xA9", RegexExtent::kSearch));
  EXPECT_TRUE(matches("[\\u00e0-\\u00ff]{2}", "\xC3\xA9\xC3\xBF"));
  EXPECT_FALSE(matches("[^\\u00e9]", "\xC3\xA9"));
  EXPECT_TRUE(matches("\\u{1F600}", "\xF0\x9F\x98\x80"));
  EXPECT_TRUE(matches("\\ud83d\\ude00", "\xF0\x9F\x98\x80"));
  EXPECT_TRUE(matches("\\p{Lu}\\p{Ll}+", "\xC3\x89t\xC3\xA9"));
  EXPECT_FALSE(matches(".", "\n"));
  EXPECT_FALSE(matches(".", "\xE2\x80\xA8"));
}

TEST(Regex, AnchorsStandAnywhere) {
  EXPECT_TRUE(matches("(^a|b)c", "xbc", RegexExtent::kSearch));
  EXPECT_FALSE(matches("(^a|b)c", "xac", RegexExtent::kSearch));
  EXPECT_TRUE(matches("a($|b)", "xa", RegexExtent::kSearch));
  EXPECT_FALSE(matches("^(?!^x)", "xa", RegexExtent::kSearch));
  EXPECT_TRUE(matches("^((?!ab).)*$", "acb", RegexExtent::kSearch));
  EXPECT_FALSE(matches("^((?!ab).)*$", "cab", RegexExtent::kSearch));
}

TEST(Regex, SaysWhatItRefusesAndWhere) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"a(b", "a '(' without its ')' at character 4"},
      {"(a)\\1", "back references are not supported at character 5"},
      {"(?<=a)b", "look-behind is not supported at character 5"},
      {"\\bword", "word boundaries are not supported at character 2"},
      {"a**", "nothing to repeat at character 4"},
      {"[b-a]", "a range out of order at character 5"},
      {"a{3,2}", "a count whose end is below its beginning at character 7"},
      {"(((a{200}){200}){200})", "it is too large: it takes more than 20000 instructions"},
      {"a{999999999}", "a count is too large at character 8"}};
  for (const auto& [pattern, message] : cases) {
    const auto program = compile_regex(pattern, RegexExtent::kWhole, kMaxInstructions);
    ASSERT_FALSE(program) << pattern;
    EXPECT_EQ(program.error().message, message) << pattern;
  }
}

TEST(Regex, CatastrophicFormsStaySmall) {
  const std::string text(5000, 'a');
  for (const char* pattern : {"(a+)+b", "(a|a)*b", "(a*)*b", "(.*)*(.*)*b", "^(?=(a+)+$)(a|aa)+$"})
    matches(pattern, text);
}

TEST(Regex, WordsMatchThemselves) {
  const RegexProgram program = compile_words({"yes", "no", "\xC3\xA9"});
  EXPECT_TRUE(matches(program, "yes"));
  EXPECT_TRUE(matches(program, "\xC3\xA9"));
  EXPECT_FALSE(matches(program, "ye"));
  EXPECT_FALSE(matches(program, "noo"));
}

TEST(CharacterClass, Utf8IsThatOfTheRange) {
  std::mt19937 random(3);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (int i = 0; i < 2000; ++i) {
    const std::uint32_t first = below(i % 2 == 0 ? 0x900 : kMaxCodePoint);
    const std::uint32_t last = std::min(first + below(i % 3 == 0 ? 0x20000 : 0x100), kMaxCodePoint);
    std::size_t count = 0;
    for (const Utf8Sequence& sequence : utf8_sequences(CharacterClass(first, last).normalized())) {
      std::size_t product = 1;
      for (int n = 0; n < sequence.size; ++n)
        product *= static_cast<std::size_t>(sequence.bytes[static_cast<std::size_t>(n)].last -
                                            sequence.bytes[static_cast<std::size_t>(n)].first + 1);
      count += product;
    }
    std::size_t expected = last - first + 1;
    for (std::uint32_t c = std::max(first, 0xD800U); c <= std::min(last, 0xDFFFU); ++c) --expected;
    EXPECT_EQ(count, expected) << first << " to " << last;
  }
}

}  // namespace
}  // namespace caudal::grammar
