// A mapped file, and giving its pages back.
#include "common/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "tests/temporary_dir.h"

namespace caudal {
namespace {

// Bytes of files that this process has in memory.
std::int64_t resident_file_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t size = 0, resident = 0, shared = 0;
  file >> size >> resident >> shared;
  return shared * sysconf(_SC_PAGESIZE);
}

TEST(MappedFile, DroppedPagesLeaveMemoryAndCanBeReadAgain) {
  constexpr std::int64_t kBytes = std::int64_t{16} << 20;
  const TemporaryDir dir;
  dir.write("file", std::string(kBytes, 'x'));
  const Result<MappedFile> file = MappedFile::open(dir.path() / "file");
  ASSERT_TRUE(file.ok());
  const auto all_there = [&] { return std::ranges::count(file.value().bytes(), std::byte{'x'}) == kBytes; };
  EXPECT_TRUE(all_there());
  const std::int64_t before = resident_file_bytes();
  drop_pages(file.value().bytes().subspan(100, kBytes / 2));
  const std::int64_t dropped = before - resident_file_bytes();
  EXPECT_GT(dropped, kBytes / 4);
  EXPECT_LT(dropped, kBytes * 3 / 4);
  drop_pages(file.value().bytes().first(10));  // no whole page
  EXPECT_TRUE(all_there());
}

TEST(MappedFile, ErrorsNameTheFile) {
  const TemporaryDir dir;
  dir.write("empty", "");
  EXPECT_EQ(MappedFile::open(dir.path() / "empty").error().message, "empty: is empty");
  EXPECT_EQ(MappedFile::open(dir.path() / "none").error().message, "none: cannot be read");
  EXPECT_EQ(MappedFile::open(dir.path()).error().field, dir.path().filename().string());
}

}  // namespace
}  // namespace caudal
