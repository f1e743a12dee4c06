// Chained keyed hashes of KV blocks: the hash of a block covers the block and everything before it.
// The key is random per start, so nobody outside can aim for collisions; the salt of
// the root keeps models, adapters and tenants apart. SipHash-2-4: Aumasson and Bernstein, 2012.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "common/types.h"

namespace caudal {

using BlockHash = std::uint64_t;
using BlockTokens = std::span<const TokenId, kBlockSize>;

struct HashKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;
};

namespace detail {

struct SipState {
  std::uint64_t v0, v1, v2, v3;

  explicit SipState(HashKey key)
      : v0(key.k0 ^ 0x736f6d6570736575ULL),
        v1(key.k1 ^ 0x646f72616e646f6dULL),
        v2(key.k0 ^ 0x6c7967656e657261ULL),
        v3(key.k1 ^ 0x7465646279746573ULL) {}

  void round() {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32) + v3;
    v2 += v1;
    v3 = std::rotl(v3, 21) ^ v0;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }

  void absorb(std::uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }

  std::uint64_t finish() {
    v2 ^= 0xff;
    for (int i = 0; i < 4; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

}  // namespace detail

inline std::uint64_t siphash24(HashKey key, std::span<const std::byte> data) {
  static_assert(std::endian::native == std::endian::little, "words are read as little-endian");
  detail::SipState state(key);
  const std::size_t num_bytes = data.size();
  for (; data.size() >= 8; data = data.subspan(8)) {
    std::uint64_t word = 0;
    std::memcpy(&word, data.data(), 8);
    state.absorb(word);
  }
  std::uint64_t last = static_cast<std::uint64_t>(num_bytes) << 56;
  for (std::size_t i = 0; i < data.size(); ++i) last |= std::to_integer<std::uint64_t>(data[i]) << (8 * i);
  state.absorb(last);
  return state.finish();
}

// The parent of the first block of every prompt that may share KV with this salt.
inline BlockHash root_hash(HashKey key, std::string_view salt) {
  return siphash24(key, std::as_bytes(std::span(salt)));
}

inline BlockHash chain_hash(HashKey key, BlockHash parent, BlockTokens tokens) {
  std::array<std::byte, sizeof(BlockHash) + kBlockSize * sizeof(TokenId)> message;
  std::memcpy(message.data(), &parent, sizeof(parent));
  std::memcpy(message.data() + sizeof(parent), tokens.data(), tokens.size_bytes());
  return siphash24(key, message);
}

}  // namespace caudal
