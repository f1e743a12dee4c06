#include "common/block_hash.h"

#include <gtest/gtest.h>

#include <numeric>

namespace caudal {
namespace {

// The example of appendix A of the SipHash paper: key and message are 00 01 02 ...
TEST(BlockHash, IsSipHash24) {
  const HashKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  std::array<std::byte, 15> message;
  for (std::size_t i = 0; i < message.size(); ++i) message[i] = static_cast<std::byte>(i);
  EXPECT_EQ(siphash24(key, message), 0xa129ca6149be45e5);
}

TEST(BlockHash, CoversKeySaltParentAndTokens) {
  const HashKey key{1, 2};
  std::array<TokenId, kBlockSize> tokens{};
  std::iota(tokens.begin(), tokens.end(), 0);
  const BlockHash root = root_hash(key, "model");
  const BlockHash hash = chain_hash(key, root, tokens);
  EXPECT_EQ(hash, chain_hash(key, root_hash(key, "model"), tokens));
  EXPECT_NE(hash, chain_hash({1, 3}, root, tokens));
  EXPECT_NE(hash, chain_hash(key, root_hash(key, "tenant"), tokens));
  EXPECT_NE(hash, chain_hash(key, hash, tokens));
  std::swap(tokens[14], tokens[15]);
  EXPECT_NE(hash, chain_hash(key, root, tokens));
}

}  // namespace
}  // namespace caudal
