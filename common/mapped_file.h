// A file mapped into memory to be read: only the pages that are touched are loaded. Readable from any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "common/result.h"

namespace caudal {

class MappedFile {
 public:
  // Errors name the file: it cannot be read or mapped, is no regular file, or is empty.
  static Result<MappedFile> open(const std::filesystem::path& path);

  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(mapping_.get()), mapping_.get_deleter().bytes};
  }

 private:
  struct Unmap {
    std::size_t bytes = 0;
    void operator()(void* address) const;
  };

  explicit MappedFile(std::unique_ptr<void, Unmap> mapping) : mapping_(std::move(mapping)) {}

  std::unique_ptr<void, Unmap> mapping_;
};

// Takes the whole pages among these bytes of a mapped file out of memory. Reading them loads them again.
void drop_pages(std::span<const std::byte> mapped);

}  // namespace caudal
