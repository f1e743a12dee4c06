// Writes safetensors images for tests, sound ones and damaged ones.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tests/temporary_dir.h"

namespace caudal {

// Header length, header, data.
inline std::string safetensors_image(const std::string& header, const std::string& data) {
  std::string image(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(image.data(), &length, sizeof length);
  return image + header + data;
}

struct TestTensor {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string data;
};

inline TestTensor f32_tensor(std::vector<std::int64_t> shape, const std::vector<float>& values) {
  return {"F32", std::move(shape), std::string(reinterpret_cast<const char*>(values.data()), values.size() * 4)};
}

inline std::string safetensors_image(const std::map<std::string, TestTensor>& tensors) {
  std::string header = "{", data;
  for (const auto& [name, tensor] : tensors) {
    if (header.size() > 1) header += ",";
    header += "\"" + name + "\":{\"dtype\":\"" + tensor.dtype + "\",\"shape\":[";
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) header += (i ? "," : "") + std::to_string(tensor.shape[i]);
    header += "],\"data_offsets\":[" + std::to_string(data.size()) + ",";
    data += tensor.data;
    header += std::to_string(data.size()) + "]}";
  }
  return safetensors_image(header + "}", data);
}

}  // namespace caudal
