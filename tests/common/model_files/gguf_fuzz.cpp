// libFuzzer's target for GGUF files: their headers, and the config, tokenizer and template that are made of them. The
// preset "fuzz" builds it, tests/nightly.sh runs it:
//   gguf_fuzz [libFuzzer's options] CORPUS
// An empty CORPUS directory is filled with whole models first.
#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/model_files/model_files.h"
#include "tests/common/gguf/whole_gguf.h"

namespace {

std::filesystem::path scratch() {
  return std::filesystem::temp_directory_path() / fmt::format("fuzz-{}.gguf", getpid());
}

void write(const std::filesystem::path& path, const char* data, std::size_t bytes) {
  std::ofstream(path, std::ios::binary).write(data, static_cast<std::streamsize>(bytes));
}

// Whatever is wrong with the file, or "".
std::string read_all(const std::filesystem::path& file) {
  const auto files = caudal::open_model_files(file);
  if (!files) return files.error().message;
  const auto text = files.value()->text();
  if (!text) return text.error().message;
  if (!text.value().chat_template) return text.value().chat_template.error().message;
  auto documents = files.value()->documents();
  if (!documents) return documents.error().message;
  const auto card = caudal::read_model_card(std::move(documents).value());
  return card ? "" : card.error().message;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  std::atexit([] { std::filesystem::remove(scratch()); });
  const std::filesystem::path corpus = (*argv)[*argc - 1];
  if (!std::filesystem::is_directory(corpus) || !std::filesystem::is_empty(corpus)) return 0;
  for (const bool by_scores : {true, false}) {
    const std::string image = caudal::whole_gguf(by_scores);
    write(corpus / (by_scores ? "sentence_piece" : "byte_level"), image.data(), image.size());
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::filesystem::path file = scratch();
  std::filesystem::remove(file);  // writing over it may wait for the disk
  write(file, reinterpret_cast<const char*>(data), size);
  const std::string refusal = read_all(file);
  if (!refusal.empty() && !refusal.starts_with(file.filename().string() + ": ")) {
    fmt::print(stderr, "a refusal without the file: {}\n", refusal);
    std::abort();
  }
  return 0;
}
