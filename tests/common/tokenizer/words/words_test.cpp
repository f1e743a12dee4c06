// The models of words on vocabularies small enough to follow by hand. That they do what the reference does at large
// shows parity_test.
#include <gtest/gtest.h>

#include "common/tokenizer/words/bpe.h"
#include "common/tokenizer/words/unigram.h"
#include "common/tokenizer/words/word_piece.h"

namespace caudal {
namespace {

// The tokens with a dot between them.
std::string cut(const WordModel& model, std::string_view word) {
  WordScratch scratch;
  std::vector<TokenId> ids;
  model.encode(word, scratch, ids);
  std::string text;
  for (const TokenId id : ids) text += (text.empty() ? "" : ".") + std::string(model.id_to_token(id));
  return text;
}

UnigramModel unigram(std::vector<std::pair<std::string, double>> tokens, bool byte_fallback = false) {
  UnigramConfig config;
  config.byte_fallback = byte_fallback;
  for (auto& [token, score] : tokens) {
    config.tokens.push_back(token);
    config.scores.push_back(score);
  }
  return UnigramModel::create(std::move(config)).value();
}

TEST(Unigram, TakesTheHighestSumNotTheLongestToken) {
  const UnigramModel model =
      unigram({{"<unk>", 0}, {"a", -3}, {"b", -3}, {"c", -3}, {"ab", -4}, {"bc", -2}, {"abc", -6}});
  EXPECT_EQ(cut(model, "abc"), "a.bc") << "-5 beats -6 and -7";
  EXPECT_EQ(cut(model, "ab"), "ab");
  EXPECT_EQ(cut(model, "cab"), "c.ab");
  EXPECT_EQ(cut(model, ""), "");
}

TEST(Unigram, OfEqualSumsTheFirstFoundStays) {
  const UnigramModel model = unigram({{"<unk>", 0}, {"a", -1}, {"aa", -2}});
  EXPECT_EQ(cut(model, "aa"), "aa") << "its end is reached from the earlier start first";
}

TEST(Unigram, UnknownCharactersNextToEachOtherAreOne) {
  const UnigramModel model = unigram({{"<unk>", 0}, {"a", -1}});
  EXPECT_EQ(cut(model, "xy\u6f22"), "<unk>");
  EXPECT_EQ(cut(model, "xaya"), "<unk>.a.<unk>.a");
}

TEST(Unigram, BytesStandInForUnknownCharacters) {
  std::vector<std::pair<std::string, double>> tokens{{"<unk>", 0}, {"a", -1}};
  for (const char* byte : {"<0xC3>", "<0xA9>"}) tokens.emplace_back(byte, 0);
  const UnigramModel model = unigram(tokens, true);
  EXPECT_EQ(cut(model, "a\u00e9a"), "a.<0xC3>.<0xA9>.a");
  EXPECT_EQ(cut(model, "\u00e9x"), "<unk>") << "not all of its bytes are tokens";
}

WordPieceModel word_piece(std::size_t max_characters) {
  return WordPieceModel::create(
             {.vocab = {{"[UNK]", 0}, {"un", 1}, {"##able", 2}, {"##a", 3}, {"unab", 4}, {"\u00e9", 5}},
              .unk_token = "[UNK]",
              .continuing_prefix = "##",
              .max_characters = max_characters})
      .value();
}

TEST(WordPiece, TakesTheLongestTokenThatTheWordBeginsWith) {
  EXPECT_EQ(cut(word_piece(100), "una"), "un.##a");
  EXPECT_EQ(cut(word_piece(100), "unab"), "unab");
  EXPECT_EQ(cut(word_piece(100), "unable"), "[UNK]") << "it does not go back to the shorter one";
  EXPECT_EQ(cut(word_piece(100), "unaable"), "un.##a.##able");
  EXPECT_EQ(cut(word_piece(100), "unx"), "[UNK]") << "the whole word";
}

TEST(WordPiece, AWordOfTooManyCharactersIsUnknown) {
  EXPECT_EQ(cut(word_piece(2), "un"), "un");
  EXPECT_EQ(cut(word_piece(2), "una"), "[UNK]");
  EXPECT_EQ(cut(word_piece(1), "\u00e9"), "\u00e9") << "characters, not bytes";
}

TEST(WordLevel, AWordIsATokenOrUnknown) {
  const WordLevelModel model = WordLevelModel::create({{"<unk>", 0}, {"tide", 1}}, "<unk>").value();
  EXPECT_EQ(cut(model, "tide"), "tide");
  EXPECT_EQ(cut(model, "tid"), "<unk>");
}

TEST(Bpe, AffixesArePartOfTheVocabulary) {
  BpeConfig config;
  config.vocab = {{"a", 0}, {"##b", 1}, {"##b</w>", 2}, {"a</w>", 3}, {"ab", 4}, {"ab</w>", 5}};
  config.merges = {{"a", "##b"}, {"a", "##b</w>"}};
  config.continuing_prefix = "##";
  config.word_suffix = "</w>";
  const BpeModel model = BpeModel::create(std::move(config)).value();
  EXPECT_EQ(cut(model, "a"), "a</w>");
  EXPECT_EQ(cut(model, "ab"), "ab</w>");
  EXPECT_EQ(cut(model, "abb"), "ab.##b</w>");
}

TEST(WordModels, RefuseAVocabularyWithoutTheirUnknownToken) {
  EXPECT_EQ(WordLevelModel::create({{"a", 0}}, "<unk>").error().field, "unk_token");
  EXPECT_EQ(WordPieceModel::create({.vocab = {{"a", 0}}, .unk_token = "b", .continuing_prefix = ""}).error().field,
            "unk_token");
  UnigramConfig config;
  config.tokens = {"a"};
  config.scores = {0};
  config.unk_id = 1;
  EXPECT_EQ(UnigramModel::create(std::move(config)).error().field, "unk_id");
}

}  // namespace
}  // namespace caudal
