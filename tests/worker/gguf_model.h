// A model of tests/reference/models as a GGUF file, written as llama.cpp's converter does it.
#pragma once

#include <filesystem>
#include <optional>

#include "kernels/stored_format.h"
#include "tests/common/gguf/gguf_writer.h"

namespace caudal {

// From config.json and the safetensors in `model_dir`: norms and biases as f32, matrices as they are; in a Llama the
// rows of q and k interleaved. Dynamic rope scaling is the one thing that GGUF has no word for. With `format` matrices
// are rounded to it, and the one that logits come from to Q8_0.
GgufWriter gguf_of(const std::filesystem::path& model_dir, std::optional<StoredFormat> format = std::nullopt);

}  // namespace caudal
