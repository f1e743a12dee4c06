// What a GGUF header says is read; one that lies is refused with a reason, whatever it says.
#include "common/gguf/gguf_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <random>

#include "tests/common/gguf/gguf_writer.h"
#include "tests/temporary_dir.h"

namespace caudal {
namespace {

using ::testing::HasSubstr;

Result<GgufHeader> parse(const std::string& image) { return parse_gguf(std::as_bytes(std::span(image)), "m.gguf"); }

std::string refusal(const std::string& image) {
  const Result<GgufHeader> header = parse(image);
  return header ? "none" : header.error().message;
}

GgufWriter small_model() {
  GgufWriter writer;
  writer.add("general.architecture", "llama");
  writer.add("llama.block_count", 2U);
  writer.add("llama.rope.freq_base", 500000.0F);
  writer.add("tokenizer.ggml.add_bos_token", true);
  writer.add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", ""});
  writer.add("tokenizer.ggml.token_type", std::vector<std::int32_t>{1, 3, -1});
  writer.add_tensor("a.weight", {2, 3}, GgufWriter::kF32, std::string(24, 'a'));
  writer.add_tensor("b.weight", {5}, GgufWriter::kBF16, std::string(10, 'b'));
  return writer;
}

TEST(GgufFile, ReadsWhatIsWritten) {
  for (const std::uint32_t version : {2U, 3U}) {
    GgufWriter writer = small_model();
    writer.version = version;
    const std::string image = writer.image();
    const Result<GgufHeader> parsed = parse(image);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    const GgufHeader& header = parsed.value();
    EXPECT_EQ(boost::json::serialize(header.metadata),
              R"({"general.architecture":"llama","llama.block_count":2,"llama.rope.freq_base":5E5,)"
              R"("tokenizer.ggml.add_bos_token":true,"tokenizer.ggml.token_type":[1,3,-1]})");
    EXPECT_EQ(header.texts.at("tokenizer.ggml.tokens"), (std::vector<std::string_view>{"a", "b", ""}));
    ASSERT_EQ(header.tensors.size(), 2U);
    const GgufTensor& b = header.tensors.at("b.weight");
    EXPECT_EQ(header.tensors.at("a.weight").shape, (std::vector<std::int64_t>{2, 3}));
    EXPECT_EQ(b.type, "BF16");
    EXPECT_EQ(b.offset, 32U);
    EXPECT_EQ(header.data.size(), 42U);
    EXPECT_EQ(static_cast<char>(header.data[b.offset]), 'b');
  }
}

TEST(GgufFile, RefusesAWrongBeginning) {
  GgufWriter writer = small_model();
  writer.magic = 0x47475546;
  EXPECT_EQ(refusal(writer.image()), "m.gguf: its header does not begin with GGUF");
  writer = small_model();
  for (const std::uint32_t version : {0U, 1U, 4U}) {
    writer.version = version;
    EXPECT_THAT(refusal(writer.image()), HasSubstr("known are 2 and 3"));
  }
  writer.version = 0x03000000;
  EXPECT_EQ(refusal(writer.image()), "m.gguf: its header is for big-endian machines");
  EXPECT_EQ(refusal(""), "m.gguf: its header is cut off by the end of the file");
}

TEST(GgufFile, RefusesMetadataThatLies) {
  const auto with = [](const auto& damage) {
    GgufWriter writer = small_model();
    damage(writer);
    return refusal(writer.image());
  };
  const std::string huge = GgufWriter::bytes_of(std::uint64_t{1} << 60);
  EXPECT_EQ(with([&](GgufWriter& w) { w.entry("x", 8) += huge; }),
            "m.gguf: \"x\" holds a text of 1152921504606846976 bytes that ends past the end of the file");
  EXPECT_THAT(with([&](GgufWriter& w) { w.entry("x", 9) += GgufWriter::bytes_of(8U) + huge; }), HasSubstr("\"x\" "));
  EXPECT_THAT(with([&](GgufWriter& w) { w.entry("x", 9) += GgufWriter::bytes_of(4U) + huge; }),
              HasSubstr("\"x\" is cut off by the end of the file"));
  EXPECT_EQ(with([](GgufWriter& w) { w.entry("x", 9) += GgufWriter::bytes_of(9U) + GgufWriter::bytes_of(1UL); }),
            "m.gguf: \"x\" has a value of the unknown type 9");
  EXPECT_EQ(with([](GgufWriter& w) { w.entry("x", 99); }), "m.gguf: \"x\" has a value of the unknown type 99");
  EXPECT_EQ(with([](GgufWriter& w) { w.add("llama.block_count", 3U); }),
            "m.gguf: \"llama.block_count\" is there twice");
  EXPECT_EQ(with([](GgufWriter& w) { w.add("x", "\xFF"); }), "m.gguf: \"x\" holds a text that is not UTF-8");
  EXPECT_EQ(with([](GgufWriter& w) { w.add("", 1U); }), "m.gguf: its metadata holds an improper name");
  EXPECT_EQ(with([](GgufWriter& w) { w.add("general.alignment", 48U); }),
            "m.gguf: general.alignment must be a power of two");
}

TEST(GgufFile, RefusesTensorsThatLie) {
  const auto with = [](std::vector<std::int64_t> shape, std::uint64_t offset, const char* name = "x") {
    GgufWriter writer = small_model();
    writer.add_info(name, std::move(shape), GgufWriter::kF32, offset);
    return refusal(writer.image());
  };
  EXPECT_EQ(with({1}, 0), "none");
  EXPECT_EQ(with({1}, 0, "a.weight"), "m.gguf: tensor \"a.weight\" is there twice");
  EXPECT_EQ(with({}, 0), "m.gguf: tensor \"x\" has 0 dimensions; may have 1 to 4");
  EXPECT_EQ(with({1, 1, 1, 1, 1}, 0), "m.gguf: tensor \"x\" has 5 dimensions; may have 1 to 4");
  EXPECT_EQ(with({3, 0}, 0), "m.gguf: tensor \"x\" has an empty dimension");
  EXPECT_EQ(with({-1}, 0), "m.gguf: tensor \"x\" has a shape past all memory");
  EXPECT_EQ(with({std::int64_t{1} << 32, std::int64_t{1} << 32}, 0),
            "m.gguf: tensor \"x\" has a shape past all memory");
  EXPECT_EQ(with({1}, 7), "m.gguf: tensor \"x\" begins at no multiple of 32 bytes");
  EXPECT_EQ(with({1}, std::uint64_t{1} << 60), "m.gguf: tensor \"x\" begins past the end of the file");
}

// A fuzz test of a screen: bytes changed, cut off and repeated at random. Every outcome but a crash is fine, and what
// was taken in lies inside the image.
TEST(GgufFile, SurvivesAnyDamage) {
  const std::string sound = small_model().image();
  std::mt19937 random(1);
  const auto below = [&](std::size_t n) { return random() % n; };
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string image = sound;
    for (std::size_t n = 1 + below(3); n-- > 0;) image[below(image.size())] = static_cast<char>(below(256));
    if (below(4) == 0) image.resize(below(image.size()));
    const Result<GgufHeader> header = parse(image);
    refused += header ? 0 : 1;
    if (!header) continue;
    for (const auto& [key, texts] : header.value().texts)
      for (const std::string_view text : texts) ASSERT_LE(text.data() + text.size(), image.data() + image.size());
    for (const auto& [name, tensor] : header.value().tensors) ASSERT_LE(tensor.offset, header.value().data.size());
  }
  EXPECT_GT(refused, 1'000);
  EXPECT_LT(refused, 19'000);
}

TEST(GgufFiles, AFileADirectoryOrASet) {
  const TemporaryDir dir;
  EXPECT_FALSE(is_gguf(dir.path()));
  dir.write("m.gguf", small_model().image());
  EXPECT_TRUE(is_gguf(dir.path()));
  EXPECT_TRUE(is_gguf(dir.path() / "m.gguf"));
  EXPECT_EQ(open_gguf(dir.path()).value().front().name(), "m.gguf");
  dir.write("n.gguf", small_model().image());
  EXPECT_EQ(open_gguf(dir.path()).error().message,
            "the model directory has several models; name one of m.gguf, n.gguf");
  dir.write("config.json", "{}");
  EXPECT_FALSE(is_gguf(dir.path()));
  EXPECT_EQ(gguf_stem("SmolLM2.Q4_1.gguf"), "SmolLM2.Q4_1");
  EXPECT_EQ(gguf_stem("m-00002-of-00003.gguf"), "m");
  EXPECT_EQ(gguf_stem("m-2-of-3.gguf"), "m-2-of-3");
}

// The second of two files, with one tensor of its own.
std::string part_image(std::uint32_t number, std::uint32_t count, const char* tensor) {
  GgufWriter writer;
  writer.add("split.no", number);
  writer.add("split.count", count);
  writer.add_tensor(tensor, {1}, GgufWriter::kF32, "1234");
  return writer.image();
}

TEST(GgufFiles, ASetIsWholeAndInOrder) {
  const TemporaryDir dir;
  const auto opened = [&](const char* name) { return open_gguf(dir.path() / name); };
  dir.write("m-00001-of-00002.gguf", part_image(0, 2, "a"));
  EXPECT_EQ(opened("m-00001-of-00002.gguf").error().message, "m-00002-of-00002.gguf: cannot be read");
  dir.write("m-00002-of-00002.gguf", part_image(1, 2, "b"));
  for (const char* name : {"", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
    const Result<GgufFiles> files = opened(name);
    ASSERT_TRUE(files.ok()) << files.error().message;
    ASSERT_EQ(files.value().size(), 2U);
    EXPECT_TRUE(files.value()[1].header().tensors.contains("b"));
  }
  dir.write("m-00002-of-00002.gguf", part_image(1, 2, "a"));
  EXPECT_EQ(opened("").error().message, "m-00002-of-00002.gguf: tensor \"a\" is in another file too");
  dir.write("m-00002-of-00002.gguf", part_image(0, 2, "b"));
  EXPECT_EQ(opened("").error().message, "m-00002-of-00002.gguf: split.no must be 1, as the name of the file says");
  dir.write("m-00002-of-00002.gguf", part_image(1, 3, "b"));
  EXPECT_EQ(opened("").error().message, "m-00002-of-00002.gguf: split.count must be 2, as the name of the file says");
}

}  // namespace
}  // namespace caudal
