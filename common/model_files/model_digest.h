// What tells one model from another, so that a replica with other weights or another tokenizer does not join: a digest
// "IDENTITY:WEIGHTS" of two parts in hexadecimal. WEIGHTS is "-" where there are no files of weights, as beside a
// coordinator that was given the config and the tokenizer alone, or none that this process may read.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace caudal {

std::string sha256_of(std::string_view text);  // hexadecimal

// `identity`: the bytes of config and tokenizer. Of the weights, each file's size, its beginning (a header with names
// and shapes) and samples of its content are taken: milliseconds, whatever the size.
std::string model_digest(std::string_view identity, const std::vector<std::filesystem::path>& weights);

// The .safetensors files of a directory, by name.
std::vector<std::filesystem::path> weight_files(const std::filesystem::path& dir);

}  // namespace caudal
