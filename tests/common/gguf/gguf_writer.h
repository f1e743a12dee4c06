// Writes GGUF images for tests, sound ones and damaged ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace caudal {

class GgufWriter {
 public:
  static constexpr std::uint32_t kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ8_0 = 8, kBF16 = 30;  // types of tensors

  std::uint32_t magic = 0x46554747;
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;

  void add(std::string_view key, std::uint32_t number) { entry(key, 4) += bytes_of(number); }
  void add(std::string_view key, float number) { entry(key, 6) += bytes_of(number); }
  void add(std::string_view key, bool flag) { entry(key, 7) += static_cast<char>(flag); }
  void add(std::string_view key, std::string_view text) { entry(key, 8) += text_of(text); }
  void add(std::string_view key, const char* text) { add(key, std::string_view(text)); }
  void add(std::string_view key, const std::vector<std::string>& texts) {
    std::string& out = list(key, 8, texts.size());
    for (const std::string& text : texts) out += text_of(text);
  }
  void add(std::string_view key, const std::vector<float>& numbers) {
    std::string& out = list(key, 6, numbers.size());
    for (const float number : numbers) out += bytes_of(number);
  }
  void add(std::string_view key, const std::vector<std::int32_t>& numbers) {
    std::string& out = list(key, 5, numbers.size());
    for (const std::int32_t number : numbers) out += bytes_of(number);
  }

  // `shape` has the rows first.
  void add_tensor(std::string_view name, std::vector<std::int64_t> shape, std::uint32_t type, std::string_view data) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment, '\0');
    add_info(name, std::move(shape), type, data_.size());
    data_ += data;
  }
  // A tensor that says of itself what it likes.
  void add_info(std::string_view name, std::vector<std::int64_t> shape, std::uint32_t type, std::uint64_t offset) {
    std::ranges::reverse(shape);
    tensors_ += text_of(name) + bytes_of(static_cast<std::uint32_t>(shape.size()));
    for (const std::int64_t size : shape) tensors_ += bytes_of(size);
    tensors_ += bytes_of(type) + bytes_of(offset);
    ++num_tensors_;
  }

  std::string image() const {
    std::string out = bytes_of(magic) + bytes_of(version) + bytes_of(num_tensors_) + bytes_of(num_entries_);
    out += entries_ + tensors_;
    out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return out + data_;
  }

  template <typename T>
  static std::string bytes_of(T number) {
    return {reinterpret_cast<const char*>(&number), sizeof number};
  }
  static std::string text_of(std::string_view text) {
    return bytes_of(static_cast<std::uint64_t>(text.size())) + std::string(text);
  }

  // Anything behind the key: its type, and the caller adds the value.
  std::string& entry(std::string_view key, std::uint32_t type) {
    ++num_entries_;
    return entries_ += text_of(key) + bytes_of(type);
  }

 private:
  std::string& list(std::string_view key, std::uint32_t type, std::size_t count) {
    return entry(key, 9) += bytes_of(type) + bytes_of(static_cast<std::uint64_t>(count));
  }

  std::string entries_, tensors_, data_;
  std::uint64_t num_entries_ = 0, num_tensors_ = 0;
};

}  // namespace caudal
