#include "common/model_files/model_digest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <optional>

#include "common/mapped_file.h"

namespace caudal {
namespace {

constexpr std::size_t kBeginning = 64 << 10;
constexpr std::size_t kSampleBytes = 4 << 10;
constexpr std::size_t kNumSamples = 64;  // evenly from the first byte to the last

// Nothing for a file that cannot be read.
std::optional<std::string> sample(const std::filesystem::path& path) {
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file) return std::nullopt;
  const std::span<const std::byte> bytes = file.value().bytes();
  std::string text = fmt::format("{} ", bytes.size());
  const auto take = [&](std::size_t at, std::size_t count) {
    text.append(reinterpret_cast<const char*>(bytes.data()) + at, std::min(count, bytes.size() - at));
  };
  take(0, kBeginning);
  if (bytes.size() <= kBeginning) return text;
  const std::size_t last = bytes.size() - kSampleBytes;
  for (std::size_t i = 1; i <= kNumSamples; ++i) take(last * i / kNumSamples, kSampleBytes);
  return text;
}

}  // namespace

std::string sha256_of(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

std::string model_digest(std::string_view identity, const std::vector<std::filesystem::path>& weights) {
  bool known = !weights.empty();
  std::string samples;
  for (const std::filesystem::path& file : weights) {
    const std::optional<std::string> text = sample(file);
    known = known && text;
    samples += sha256_of(text.value_or(""));
  }
  return sha256_of(identity) + ":" + (known ? sha256_of(samples) : "-");
}

std::vector<std::filesystem::path> weight_files(const std::filesystem::path& dir) {
  std::vector<std::filesystem::path> files;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(dir, missing))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

}  // namespace caudal
