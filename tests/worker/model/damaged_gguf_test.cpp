// Thousands of damaged GGUF files: whatever their bytes say, a start ends with a plan or with words that name the file
// and what in it is wrong. tests/common/model_files/gguf_fuzz.cpp is for the long run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <regex>

#include "common/gguf/gguf_file.h"
#include "common/model_files/model_files.h"
#include "kernels/factory/make_backend.h"
#include "tests/common/gguf/whole_gguf.h"
#include "tests/sanitized.h"
#include "tests/temporary_dir.h"
#include "worker/model/families/registry.h"
#include "worker/model/plan/model_plan.h"

namespace caudal {
namespace {

using testing::StartsWith;

// What coordinator and worker read at start. Whatever is wrong, or "".
std::string read_all(const std::filesystem::path& file) {
  static const std::unique_ptr<Backend> backend = std::move(make_backend({.num_threads = 1, .max_isa = ""})).value();
  const Result<std::unique_ptr<ModelFiles>> files = open_model_files(file);
  if (!files) return files.error().message;
  const Result<TextFiles> text = files.value()->text();
  if (!text) return text.error().message;
  if (!text.value().chat_template) return text.value().chat_template.error().message;
  Result<ModelSpec> spec = load_model_spec(file, known_families());
  if (!spec) return spec.error().message;
  const ModelChoice choice{file, LoadFormat::kSafetensors, DTypeChoice::kAuto, known_families()};
  const Result<OpenedModel> model = open_model(std::move(spec).value(), choice, 0, 1, *backend);
  if (!model) return model.error().message;
  plan_model(model.value(), {.max_tokens = 16, .max_rows = 4, .max_context = 32}, *backend);
  return "";
}

class Damage {
 public:
  explicit Damage(unsigned seed) : random_(seed) {}

  std::string apply(std::string image, std::size_t header_bytes) {
    for (std::size_t n = 1 + below(3); n-- > 0;) change(image, header_bytes);
    return image;
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }

  // Mostly of the header: a byte; a number, by values that counts, sizes and offsets go wrong with; a piece that is
  // lost, doubled or cut off.
  void change(std::string& image, std::size_t header_bytes) {
    constexpr std::uint64_t kNumbers[] = {0,
                                          1,
                                          2,
                                          7,
                                          31,
                                          33,
                                          255,
                                          65536,
                                          0x7FFFFFFF,
                                          0x80000000,
                                          0xFFFFFFFF,
                                          1ULL << 40,
                                          1ULL << 60,
                                          0x7FFFFFFFFFFFFFFF,
                                          0xFFFFFFFFFFFFFFFF};
    const std::size_t at = below(std::min(image.size(), below(8) == 0 ? image.size() : header_bytes)), kind = below(8);
    const std::size_t rest = image.size() - at;
    if (kind < 3) {
      image[at] = static_cast<char>(kind == 0 ? image[at] ^ (1 << below(8)) : below(256));
    } else if (kind < 6) {
      const std::uint64_t number = kNumbers[below(std::size(kNumbers))];
      std::memcpy(image.data() + at, &number, std::min<std::size_t>(rest, kind == 3 ? 8 : 4));
    } else if (kind == 6) {
      const std::size_t bytes = 1 + below(std::min<std::size_t>(rest, 64));
      if (below(2) == 0)
        image.erase(at, bytes);
      else
        image.insert(at, image.substr(at, bytes));
    } else {
      image.resize(at + 1);
    }
  }

  std::mt19937 random_;
};

TEST(DamagedGguf, AWholeOneStarts) {
  const TemporaryDir dir;
  for (const bool by_scores : {true, false}) {
    dir.write("m.gguf", whole_gguf(by_scores));
    EXPECT_EQ(read_all(dir.path() / "m.gguf"), "");
  }
}

TEST(DamagedGguf, StartsOrNamesWhatIsWrong) {
  const TemporaryDir dir;
  const std::regex subject(
      R"re(".+"|[a-z_]+\.[a-z_.0-9]+|[a-z]+_[a-z_]+|^m\.gguf: its (header|metadata|list of tensors) )re");
  int started = 0;
  const int num_files = test::kSanitized ? 1'000 : 6'000;
  for (const bool by_scores : {true, false}) {
    const std::string sound = whole_gguf(by_scores);
    const std::size_t header_bytes = parse_gguf(std::as_bytes(std::span(sound)), "m.gguf").value().bytes.size();
    Damage damage(by_scores ? 1 : 2);
    for (int i = 0; i < num_files / 2; ++i) {
      std::filesystem::remove(dir.path() / "m.gguf");  // writing over a file may wait for the disk
      dir.write("m.gguf", damage.apply(sound, header_bytes));
      const std::string refusal = read_all(dir.path() / "m.gguf");
      if (refusal.empty()) {
        ++started;
        continue;
      }
      ASSERT_THAT(refusal, StartsWith("m.gguf: ")) << i;
      const std::string what = refusal.substr(std::strlen("m.gguf: "));
      ASSERT_TRUE(std::regex_search(what, subject) || what.starts_with("its ")) << i << ": " << refusal;
    }
  }
  EXPECT_GT(started, num_files / 50);
  EXPECT_LT(started, num_files / 2);
}

}  // namespace
}  // namespace caudal
