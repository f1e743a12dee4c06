// PrefixHashes: the chained hashes of one sequence's full blocks, computed once and asked of every replica.
// The root is keyed, and names the model and the client's salt, so that nothing else is ever found under it
//. Lives in its Sequence; engine thread only.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/block_hash.h"

namespace caudal {

// A sequence's tokens with the hashes of their full blocks: what KvManager looks up and publishes.
struct Prefix {
  std::span<const TokenId> tokens;
  std::span<const BlockHash> hashes;  // hashes[i] covers tokens [0, 16 (i + 1))
  BlockHash root = 0;

  BlockHash parent(std::size_t block) const { return block == 0 ? root : hashes[block - 1]; }
  BlockTokens block_tokens(std::size_t block) const { return tokens.subspan(block * kBlockSize).first<kBlockSize>(); }
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
      const std::size_t block = hashes_.size();
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
