// Which tokens may come next, when several rules meet: the list of the request, a grammar, min_tokens, bad words, the
// end of thinking.
#include "worker/sampling/allowed_tokens.h"

#include <gtest/gtest.h>

#include "worker/sampling/grammars.h"

namespace caudal {
namespace {

using Tokens = std::vector<TokenId>;

// 0 ends, 1..5 are "a".."e", 6 is "ab", 7 is special.
constexpr std::int64_t kVocab = 8;
Result<TokenText> letters() {
  std::vector<std::string> tokens{"", "a", "b", "c", "d", "e", "ab", "\xFF<stop>"};
  return TokenText{nullptr, std::make_shared<const grammar::TokenVocabulary>(std::move(tokens), Tokens{0})};
}

class Allowed : public testing::Test {
 protected:
  void SetUp() override {
    sequence_.id = 1;
    sequence_.tokens = {3, 3};
    sequence_.num_prompt_tokens = 2;
    sequence_.params.stop.stop_token_ids = {0};
  }
  void held_to(const std::string& regex) { sequence_.params.sampling.grammar = {GrammarKind::kRegex, regex}; }
  void say(TokenId token) { sequence_.tokens.push_back(token); }

  // Of all tokens; and whether the row has bits at all.
  Tokens next(const Tokens& drafts = {}) {
    allowed_.clear();
    SamplingRow row;
    allowed_.fill(sequence_, drafts, row);
    has_bits_ = !row.allowed.empty();
    Tokens result;
    for (TokenId token = 0; token < kVocab; ++token) {
      const bool is_banned = std::ranges::find(row.banned, token) != row.banned.end();
      if (!is_banned && (!has_bits_ || (row.allowed[0] >> token & 1) != 0)) result.push_back(token);
    }
    EXPECT_TRUE(row.banned.empty() || !has_bits_) << "two ways to say one thing";
    return result;
  }

  std::shared_ptr<Grammars> grammars_ = std::make_shared<Grammars>(letters, 2);
  AllowedTokens allowed_{kVocab, grammars_};
  SequenceRow sequence_;
  bool has_bits_ = false;
};

TEST_F(Allowed, EverythingWithoutRules) {
  EXPECT_EQ(next().size(), 8U);
  sequence_.params.stop.min_tokens = 1;
  sequence_.params.sampling.bad_words = {{4}};
  EXPECT_EQ(next(), (Tokens{1, 2, 3, 5, 6, 7}));
  EXPECT_FALSE(has_bits_) << "few bans are a list";
}

TEST_F(Allowed, OnlyWhatIsListed) {
  sequence_.params.sampling.allowed_token_ids = {1, 4, 0, 99, -1};
  sequence_.params.sampling.bad_words = {{4}};
  EXPECT_EQ(next(), (Tokens{0, 1}));
  sequence_.params.stop.min_tokens = 1;
  EXPECT_EQ(next(), Tokens{1});
}

TEST_F(Allowed, AGrammarFollowsOutputAndDrafts) {
  held_to("ab(c|d)?");
  EXPECT_EQ(next(), (Tokens{1, 6}));
  say(1);
  EXPECT_EQ(next(), Tokens{2});
  EXPECT_EQ(next({2}), (Tokens{0, 3, 4}));
  EXPECT_EQ(next({2, 3}), Tokens{0});
  EXPECT_EQ(next({5, 1}).size(), 8U) << "behind a wrong draft nothing counts";
  say(2);
  EXPECT_EQ(next(), (Tokens{0, 3, 4}));
}

TEST_F(Allowed, AllRulesTogether) {
  held_to("(a|b|c|d)+");
  sequence_.params.sampling.allowed_token_ids = {0, 1, 2, 3, 5};
  sequence_.params.sampling.bad_words = {{2}, {1, 3}};
  EXPECT_EQ(next(), (Tokens{1, 3}));
  EXPECT_EQ(next({1}), (Tokens{0, 1}));
}

TEST_F(Allowed, MinTokensYieldWhereTheGrammarIsDone) {
  held_to("ab?");
  sequence_.params.stop.min_tokens = 9;
  say(1);
  EXPECT_EQ(next(), Tokens{2});
  say(2);
  EXPECT_EQ(next(), Tokens{0});
}

TEST_F(Allowed, SpecialStopTokensEndAGrammar) {
  held_to("ab?");
  sequence_.params.stop.stop_token_ids = {0, 7, 3};
  EXPECT_EQ(next(), (Tokens{1, 6}));
  say(1);
  EXPECT_EQ(next(), (Tokens{0, 2, 7})) << "3 is text that the grammar does not allow";
}

TEST_F(Allowed, NothingWhereTheGrammarCannotGoOn) {
  held_to("ab");
  say(4);
  EXPECT_TRUE(next().empty());
  EXPECT_TRUE(has_bits_);
}

TEST_F(Allowed, NothingWithoutTheTokensTexts) {
  grammars_ = std::make_shared<Grammars>([] { return Result<TokenText>(Error{"there is no tokenizer", ""}); }, 2);
  allowed_ = AllowedTokens(kVocab, grammars_);
  held_to("a");
  EXPECT_TRUE(next().empty());
}

TEST_F(Allowed, ThinkingEndsWhateverElseHolds) {
  held_to("(a|b)+");
  sequence_.params.sampling.thinking = {.budget = 2, .begin = {}, .end = {1, 2}};
  say(2);
  EXPECT_EQ(next(), (Tokens{0, 1, 2, 6}));
  say(2);
  EXPECT_EQ(next(), Tokens{1});
  EXPECT_EQ(next({1}), Tokens{2});
  say(1);
  say(2);
  EXPECT_EQ(next(), (Tokens{0, 1, 2, 6}));
}

TEST_F(Allowed, NoRuleForbidsTheEndOfThinking) {
  sequence_.params.sampling.thinking = {.budget = 0, .begin = {}, .end = {7}};
  sequence_.params.sampling.bad_words = {{7}};
  sequence_.params.sampling.allowed_token_ids = {1};
  sequence_.params.stop.stop_token_ids = {7};
  sequence_.params.stop.min_tokens = 5;
  EXPECT_EQ(next(), Tokens{7});
}

// Far more grammars than are kept, and none waits for another sequence's.
TEST_F(Allowed, ManyGrammarsAtOnce) {
  std::vector<SequenceRow> sequences(200, sequence_);
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    sequences[i].id = i;
    sequences[i].params.sampling.grammar = {GrammarKind::kRegex, "a{" + std::to_string(i + 1) + "}"};
    grammars_->enter(sequences[i]);
  }
  for (const SequenceRow& sequence : sequences) {
    sequence_ = sequence;
    EXPECT_EQ(next(), Tokens{1}) << sequence.id;
  }
}

// More sequences than are remembered, in turns: their states are found again.
TEST_F(Allowed, ForgottenSequencesAreFollowedAgain) {
  held_to("(ab|ba)*");
  std::vector<SequenceRow> sequences(5, sequence_);
  for (std::size_t i = 0; i < sequences.size(); ++i) sequences[i].id = i;
  for (int round = 0; round < 6; ++round) {
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      sequence_ = sequences[i];
      const bool is_between = round % 2 == 0;
      const TokenId last = sequence_.tokens.back();
      EXPECT_EQ(next(), is_between ? (Tokens{0, 1, 2, 6}) : last == 1 ? (Tokens{2}) : (Tokens{1, 6}));
      sequences[i].tokens.push_back(is_between ? (i % 2 == 0 ? 1 : 2) : (last == 1 ? 2 : 1));
    }
  }
}

}  // namespace
}  // namespace caudal
