// PrefixHashes: the chained hashes of one sequence's full blocks, computed once and looked up in the BlockIndex.
// The root is keyed, and names the model and the client's salt, so that nothing else is ever found under it.
// Lives in its Sequence; engine thread only.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>

#include "common/block_hash.h"

namespace caudal {

// What a full block holds: the KV of its tokens, behind everything that `parent` covers, in the layers of a group.
struct BlockContent {
  BlockHash parent = 0;
  BlockHash hash = 0;  // covers parent and tokens
  std::array<TokenId, kBlockSize> tokens{};
  std::size_t group = 0;

  BlockContent(BlockHash parent_, BlockHash hash_, BlockTokens tokens_, std::size_t group_ = 0)
      : parent(parent_), hash(hash_), group(group_) {
    std::ranges::copy(tokens_, tokens.begin());
  }
  bool operator==(const BlockContent&) const = default;
};

// A sequence's tokens with the hashes of their full blocks: what KvManager looks up and publishes.
struct Prefix {
  std::span<const TokenId> tokens;
  std::span<const BlockHash> hashes;  // hashes[i] covers tokens [0, 16 (i + 1))
  BlockHash root = 0;

  BlockHash hash(std::int32_t block) const { return hashes[block]; }
  BlockHash parent(std::int32_t block) const { return block == 0 ? root : hash(block - 1); }
  BlockTokens block_tokens(std::int32_t block) const {
    return tokens.subspan(static_cast<std::size_t>(block) * kBlockSize).first<kBlockSize>();
  }
  BlockContent content(std::int32_t block, std::size_t group = 0) const {
    return {parent(block), hash(block), block_tokens(block), group};
  }
  // Of blocks [begin, end).
  std::span<const BlockHash> hashes_of(std::int32_t begin, std::int32_t end) const {
    return hashes.subspan(begin, end - begin);
  }

  // Full blocks short of the last token. That one has to be computed, for the next one to be sampled.
  std::int32_t num_findable() const {
    return tokens.empty() ? 0 : static_cast<std::int32_t>((tokens.size() - 1) / kBlockSize);
  }
};

// The root under which sequences of this model and salt share their KV.
inline BlockHash prefix_root(HashKey key, const std::string& model_digest, const std::string& salt) {
  return root_hash(key, model_digest + '\0' + salt);
}

class PrefixHashes {
 public:
  // What was hashed before under the same root is kept: tokens are only ever appended.
  Prefix of(HashKey key, BlockHash root, std::span<const TokenId> tokens) {
    if (root != root_) hashes_.clear();
    root_ = root;
    Prefix prefix{.tokens = tokens, .hashes = hashes_, .root = root};
    while ((hashes_.size() + 1) * kBlockSize <= tokens.size()) {
      const auto block = static_cast<std::int32_t>(hashes_.size());
      hashes_.push_back(chain_hash(key, prefix.parent(block), prefix.block_tokens(block)));
      prefix.hashes = hashes_;
    }
    return prefix;
  }

 private:
  BlockHash root_ = 0;
  std::vector<BlockHash> hashes_;
};

}  // namespace caudal
