// A memory-mapped safetensors file: 8 bytes header length (little endian), a JSON header
// {name: {dtype, shape, data_offsets}}, then the tensors. Everything the header says is checked before a
// single tensor is handed out, so that readers need no checks. Owned by the checkpoint while weights load.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/mapped_file.h"
#include "common/result.h"

namespace caudal {

// One tensor as stored. `data` points into the mapping and may be unaligned.
struct StoredTensor {
  std::string format;  // as the file says it: "BF16"
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

using StoredTensors = std::map<std::string, StoredTensor, std::less<>>;

// Checks a whole file image. `file_name` is for messages. The tensors point into `image`.
Result<StoredTensors> parse_safetensors(std::span<const std::byte> image, const std::string& file_name);

class SafetensorsFile {
 public:
  static Result<SafetensorsFile> open(const std::filesystem::path& path);

  const StoredTensors& tensors() const { return tensors_; }

 private:
  SafetensorsFile(MappedFile file, StoredTensors tensors) : file_(std::move(file)), tensors_(std::move(tensors)) {}

  MappedFile file_;
  StoredTensors tensors_;
};

}  // namespace caudal
