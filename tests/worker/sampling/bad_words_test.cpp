// Which tokens may not come next: words of one token always, longer ones behind their beginning, which may lie in the
// output, in the drafts, or across both, but not in the prompt.
#include "worker/sampling/bad_words.h"

#include <gtest/gtest.h>

namespace caudal {
namespace {

class BadWords : public testing::Test {
 protected:
  std::vector<TokenId> banned(std::vector<TokenId> output, std::vector<TokenId> drafts = {}) {
    SequenceRow sequence;
    sequence.tokens = {1, 2};
    sequence.num_prompt_tokens = 2;
    sequence.tokens.insert(sequence.tokens.end(), output.begin(), output.end());
    sequence.params.sampling.bad_words = {{9}, {1, 2, 3}, {2, 4}};
    std::vector<TokenId> tokens{7};  // what was banned before stays
    append_banned(sequence, drafts, tokens);
    return {tokens.begin() + 1, tokens.end()};
  }
};

using Tokens = std::vector<TokenId>;

TEST_F(BadWords, OfOneTokenAreAlwaysBanned) { EXPECT_EQ(banned({}), Tokens{9}); }

TEST_F(BadWords, ThePromptIsNoPartOfAMatch) {
  EXPECT_EQ(banned({5}), Tokens{9});
  EXPECT_EQ(banned({2}), (Tokens{9, 4})) << "the 1 before it is the prompt's";
}

TEST_F(BadWords, TheLastTokenIsBannedBehindTheOthers) {
  EXPECT_EQ(banned({1, 2}), (Tokens{9, 3, 4}));
  EXPECT_EQ(banned({1, 2, 5}), Tokens{9}) << "only at the end";
  EXPECT_EQ(banned({1}), Tokens{9});
}

TEST_F(BadWords, DraftsCountAsOutput) {
  EXPECT_EQ(banned({1}, {2}), (Tokens{9, 3, 4}));
  EXPECT_EQ(banned({}, {1, 2}), (Tokens{9, 3, 4}));
  EXPECT_EQ(banned({1, 2}, {5}), Tokens{9});
  EXPECT_EQ(banned({}, {5, 2}), (Tokens{9, 4}));
}

}  // namespace
}  // namespace caudal
