#include "common/mapped_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>

namespace caudal {

void MappedFile::Unmap::operator()(void* address) const { munmap(address, bytes); }

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const auto refuse = [&](const char* what) { return Error{fmt::format("{}: {}", name, what), name}; };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    if (fd >= 0) close(fd);
    return refuse("cannot be read");
  }
  const auto bytes = static_cast<std::size_t>(status.st_size);
  void* address = bytes == 0 ? nullptr : mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (address == nullptr) return refuse("is empty");
  if (address == MAP_FAILED) return refuse("cannot be mapped");
  return MappedFile(std::unique_ptr<void, Unmap>(address, Unmap{bytes}));
}

void drop_pages(std::span<const std::byte> mapped) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(mapped.data());
  const std::uintptr_t first = (begin + page - 1) / page * page, end = (begin + mapped.size()) / page * page;
  if (first >= end) return;
  auto* address = const_cast<std::byte*>(mapped.data()) + (first - begin);
  madvise(address, end - first, MADV_DONTNEED);  // failing costs memory only
}

}  // namespace caudal
