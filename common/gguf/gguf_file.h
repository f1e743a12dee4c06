// A GGUF file, as llama.cpp writes it (ggml's docs/gguf.md; versions 2 and 3, little endian): metadata as keys and
// values, tensors as name, shape, type and offset, then the tensors' data. Everything that the header says about itself
// is checked before anything of it is handed out. How many bytes a tensor takes depends on its type, which only those
// who read tensors know: they check that. Constant once open; any thread.
#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/json/json_node.h"
#include "common/mapped_file.h"
#include "common/result.h"

namespace caudal {

struct GgufTensor {
  std::string type;                 // "Q4_K"; "type 99" where the number has no name
  std::vector<std::int64_t> shape;  // rows first, as elsewhere: GGUF itself has the columns first
  std::uint64_t offset = 0;         // into the data; at most its size
};

struct GgufHeader {
  boost::json::value metadata;  // {"llama.block_count": 30, ...}: all but the lists of texts
  std::map<std::string, std::vector<std::string_view>, std::less<>> texts;
  std::map<std::string, GgufTensor, std::less<>> tensors;
  std::span<const std::byte> bytes;  // the header itself
  std::span<const std::byte> data;   // of the tensors
};

// Checks the header of a whole file image, which must outlive the result. `file_name` is for messages.
Result<GgufHeader> parse_gguf(std::span<const std::byte> image, const std::string& file_name);

class GgufFile {
 public:
  static Result<GgufFile> open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::string& name() const { return name_; }
  const GgufHeader& header() const { return header_; }
  // Reads metadata; what it throws names this file. A key has dots and is one member: "llama.block_count".
  JsonNode metadata() const { return JsonNode(header_.metadata, name_.c_str()); }

 private:
  GgufFile(std::filesystem::path path, MappedFile file, GgufHeader header)
      : path_(std::move(path)), name_(path_.filename()), file_(std::move(file)), header_(std::move(header)) {}

  std::filesystem::path path_;
  std::string name_;
  MappedFile file_;
  GgufHeader header_;
};

// The files of one model, in order: one file, or those of a set "NAME-00001-of-00003.gguf". No tensor is in two.
using GgufFiles = std::vector<GgufFile>;

// `path` is one of the files, or a directory in which they are the only ones. Errors name the file: one that is
// missing, malformed or of another set.
Result<GgufFiles> open_gguf(const std::filesystem::path& path);

// Whether open_gguf() is for this path: a file whose name ends with .gguf, or a directory that has such files and no
// config.json.
bool is_gguf(const std::filesystem::path& path);

// A file's name without ".gguf" and without what counts the files of a set.
std::string gguf_stem(const std::string& file_name);

}  // namespace caudal
