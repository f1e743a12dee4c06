#include "common/model_digest.h"

#include <fmt/ranges.h>
#include <openssl/sha.h>

#include <array>

namespace caudal {

std::string model_digest(std::string_view config_text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(config_text.data()), config_text.size(), digest.data());
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

}  // namespace caudal
