// Sound files are read; every way a file can be damaged is refused, naming it.
#include "worker/model/weights/safetensors.h"

#include <gtest/gtest.h>

#include "tests/worker/model/weights/safetensors_file.h"
#include "worker/model/weights/checkpoint.h"

namespace caudal {
namespace {

Result<StoredTensors> parse(const std::string& image) {
  return parse_safetensors({reinterpret_cast<const std::byte*>(image.data()), image.size()}, "x.safetensors");
}

TEST(Safetensors, ReadsTensorsAndIgnoresMetadata) {
  const std::string image = safetensors_image(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]},"e":{"dtype":"I8","shape":[0],"data_offsets":[8,8]}})",
      std::string(14, 'x'));
  const Result<StoredTensors> tensors = parse(image);
  ASSERT_TRUE(tensors.ok()) << tensors.error().message;
  EXPECT_EQ(tensors.value().size(), 3U);
  EXPECT_EQ(tensors.value().at("a").shape, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(tensors.value().at("b").data.size(), 6U);
  EXPECT_EQ(find_format(tensors.value().at("b").format), StoredFormat::kBF16);
  EXPECT_FALSE(find_format("I8").has_value());
}

TEST(Safetensors, RefusesDamagedHeaders) {
  const auto one = [](const std::string& entry, std::size_t data_bytes) {
    return safetensors_image("{\"a\":" + entry + "}", std::string(data_bytes, 'x'));
  };
  std::string past_the_end = safetensors_image("{}", "");
  past_the_end[0] = 3;
  std::string huge = safetensors_image("{}", "");
  huge[7] = 1;  // 2^56 bytes
  std::string over_100_mb = safetensors_image("{}", std::string(16, 'x'));
  const std::uint64_t length = 100'000'001;
  std::memcpy(over_100_mb.data(), &length, sizeof length);
  const std::map<std::string, std::string> damaged = {
      {"empty file", ""},
      {"shorter than a length", "1234567"},
      {"header past the end", past_the_end},
      {"header of 2^56 bytes", huge},
      {"header over 100 MB", over_100_mb},
      {"no JSON", safetensors_image("{nonsense", "")},
      {"not an object", safetensors_image("[]", "")},
      {"entry not an object", one("3", 0)},
      {"no dtype", one(R"({"shape":[1],"data_offsets":[0,4]})", 4)},
      {"unknown dtype", one(R"({"dtype":"F12","shape":[1],"data_offsets":[0,4]})", 4)},
      {"no shape", one(R"({"dtype":"F32","data_offsets":[0,4]})", 4)},
      {"negative dimension", one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})", 4)},
      {"fractional dimension", one(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})", 4)},
      {"shape that overflows", one(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]})", 0)},
      {"no offsets", one(R"({"dtype":"F32","shape":[1]})", 4)},
      {"three offsets", one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,2,4]})", 4)},
      {"offsets backwards", one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})", 4)},
      {"negative offset", one(R"({"dtype":"F32","shape":[1],"data_offsets":[-4,0]})", 4)},
      {"offsets past the file", one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})", 4)},
      {"offsets not of the shape", one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", 4)},
      {"hole before", one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})", 8)},
      {"hole after", one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})", 8)},
      {"overlap", safetensors_image(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                    R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                                    std::string(8, 'x'))},
      {"the same name twice", safetensors_image(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},)"
                                                R"("a":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}})",
                                                "xx")}};
  for (const auto& [what, image] : damaged) {
    const Result<StoredTensors> result = parse(image);
    ASSERT_FALSE(result.ok()) << what;
    EXPECT_EQ(result.error().field, "x.safetensors") << what;
    EXPECT_EQ(result.error().message.rfind("x.safetensors: ", 0), 0U) << result.error().message;
  }
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string image = safetensors_image({{"a", f32_tensor({2}, {1.0F, 2.0F})}});
  for (std::size_t bytes = 0; bytes < image.size(); ++bytes) EXPECT_FALSE(parse(image.substr(0, bytes)).ok()) << bytes;
  EXPECT_TRUE(parse(image).ok());
}

std::vector<std::string> names_in(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : checkpoint.tensors()) names.push_back(name);
  return names;
}

TEST(Checkpoint, OneFileOrAnIndex) {
  const TemporaryDir single;
  single.write("model.safetensors", safetensors_image({{"a", f32_tensor({1}, {1.0F})}}));
  EXPECT_EQ(names_in(*open_checkpoint(single.path()).value()), std::vector<std::string>{"a"});

  const TemporaryDir sharded;
  sharded.write("m-1.safetensors", safetensors_image({{"a", f32_tensor({1}, {1.0F})}}));
  sharded.write("m-2.safetensors", safetensors_image({{"b", f32_tensor({1}, {2.0F})}}));
  sharded.write("model.safetensors.index.json", R"({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}})");
  const Result<std::unique_ptr<Checkpoint>> checkpoint = open_checkpoint(sharded.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(names_in(*checkpoint.value()), (std::vector<std::string>{"a", "b"}));
}

TEST(Checkpoint, RefusesDamagedIndexes) {
  const std::map<std::string, std::string> damaged = {
      {"no JSON", "{"},
      {"no map", "{}"},
      {"missing file", R"({"weight_map": {"a": "m-9.safetensors"}})"},
      {"a path upwards", R"({"weight_map": {"a": "../m-1.safetensors"}})"},
      {"an absolute path", R"({"weight_map": {"a": "/etc/m-1.safetensors"}})"},
      {"not safetensors", R"({"weight_map": {"a": "config.json"}})"},
      {"a number", R"({"weight_map": {"a": 3}})"},
      {"a tensor elsewhere", R"({"weight_map": {"b": "m-1.safetensors"}})"}};
  for (const auto& [what, index] : damaged) {
    const TemporaryDir dir;
    dir.write("m-1.safetensors", safetensors_image({{"a", f32_tensor({1}, {1.0F})}}));
    dir.write("model.safetensors.index.json", index);
    const Result<std::unique_ptr<Checkpoint>> checkpoint = open_checkpoint(dir.path());
    ASSERT_FALSE(checkpoint.ok()) << what;
    EXPECT_EQ(checkpoint.error().field, "model.safetensors.index.json") << what;
    EXPECT_EQ(checkpoint.error().message.find(dir.path().string()), std::string::npos) << "a path in the message";
  }
  const TemporaryDir hollow;
  hollow.write("model.safetensors", "");
  EXPECT_EQ(open_checkpoint(hollow.path()).error().message, "model.safetensors: is empty");
  hollow.write("model.safetensors", std::string("\0\0\0\0\0\1\0\0", 8) + std::string(100, 'x'));
  EXPECT_EQ(open_checkpoint(hollow.path()).error().message,
            "model.safetensors: its header, of 1099511627776 bytes, ends past the end of the file");
  const TemporaryDir empty;
  EXPECT_EQ(open_checkpoint(empty.path()).error().field, "model.safetensors");
}

TEST(Checkpoint, RefusesATensorInTwoFiles) {
  const TemporaryDir dir;
  dir.write("m-1.safetensors", safetensors_image({{"a", f32_tensor({1}, {1.0F})}}));
  dir.write("m-2.safetensors", safetensors_image({{"a", f32_tensor({1}, {1.0F})}, {"b", f32_tensor({1}, {1.0F})}}));
  dir.write("model.safetensors.index.json", R"({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}})");
  EXPECT_EQ(open_checkpoint(dir.path()).error().field, "m-2.safetensors");
}

}  // namespace
}  // namespace caudal
