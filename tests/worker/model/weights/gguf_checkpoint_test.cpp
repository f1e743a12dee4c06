// Tensors of a GGUF file: their names, rows of rotated heads put in order, and places that cannot be.
#include "worker/model/weights/gguf_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/gguf/gguf_writer.h"
#include "tests/temporary_dir.h"

namespace caudal {
namespace {

using ::testing::ElementsAre;

GgufWriter of_architecture(const char* name) {
  GgufWriter writer;
  writer.add("general.architecture", name);
  writer.add(std::string(name) + ".embedding_length", 8U);
  writer.add(std::string(name) + ".attention.head_count", 2U);
  return writer;
}

std::string f32(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

Result<std::unique_ptr<Checkpoint>> open_image(const GgufWriter& writer) {
  const TemporaryDir dir;
  dir.write("m.gguf", writer.image());
  return open_checkpoint(dir.path());
}

std::vector<float> values_of(const Checkpoint& checkpoint, const WeightPart& part) {
  const StoredPart stored = checkpoint.read(part);
  std::vector<float> values(static_cast<std::size_t>(stored.rows * stored.columns));
  read_rows({&stored, 1}, 0, stored.rows, DType::kF32, reinterpret_cast<std::byte*>(values.data()));
  return values;
}

TEST(GgufCheckpoint, NamesThatFamiliesKnow) {
  GgufWriter writer = of_architecture("qwen3");
  for (const char* name : {"token_embd.weight", "output.weight", "output_norm.weight", "rope_freqs.weight",
                           "blk.12.attn_norm.weight", "blk.12.attn_q.bias", "blk.0.attn_q_norm.weight",
                           "blk.0.ffn_norm.weight", "blk.0.ffn_gate_inp.weight", "blk.x"})
    writer.add_tensor(name, {1}, GgufWriter::kF32, "1234");
  const std::unique_ptr<Checkpoint> checkpoint = std::move(open_image(writer)).value();
  std::vector<std::string> names;
  for (const auto& [name, info] : checkpoint->tensors()) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("blk.0.ffn_gate_inp.weight", "blk.x", "lm_head.weight", "model.embed_tokens.weight",
                                 "model.layers.0.post_attention_layernorm.weight",
                                 "model.layers.0.self_attn.q_norm.weight", "model.layers.12.input_layernorm.weight",
                                 "model.layers.12.self_attn.q_proj.bias", "model.norm.weight"));
}

// Two heads of four rows: each has row 0, 2, 1, 3 of its own stored.
TEST(GgufCheckpoint, RowsOfRotatedHeadsInOrder) {
  for (const bool llama : {true, false}) {
    GgufWriter writer = of_architecture(llama ? "llama" : "qwen2");
    writer.add_tensor("blk.0.attn_q.weight", {8, 1}, GgufWriter::kF32, f32({0, 2, 1, 3, 4, 6, 5, 7}));
    writer.add_tensor("blk.0.attn_k.bias", {8}, GgufWriter::kF32, f32({0, 2, 1, 3, 4, 6, 5, 7}));
    writer.add_tensor("blk.0.attn_v.weight", {8, 1}, GgufWriter::kF32, f32({0, 1, 2, 3, 4, 5, 6, 7}));
    const std::unique_ptr<Checkpoint> checkpoint = std::move(open_image(writer)).value();
    const auto q = [&](Range rows) {
      return values_of(*checkpoint, cut_rows("model.layers.0.self_attn.q_proj.weight", 8, 1, rows));
    };
    if (llama) {
      EXPECT_THAT(q({0, 8}), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
      EXPECT_THAT(q({4, 4}), ElementsAre(4, 5, 6, 7)) << "of the second rank";
      EXPECT_THAT(values_of(*checkpoint, whole_vector("model.layers.0.self_attn.k_proj.bias", 8)),
                  ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
    } else {
      EXPECT_THAT(q({0, 8}), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
    }
    EXPECT_THAT(values_of(*checkpoint, cut_rows("model.layers.0.self_attn.v_proj.weight", 8, 1, {2, 3})),
                ElementsAre(2, 3, 4));
  }
}

TEST(GgufCheckpoint, RefusesTensorsThatCannotLieThere) {
  const auto with = [](std::vector<std::int64_t> shape, std::uint32_t type, std::uint64_t offset) {
    GgufWriter writer = of_architecture("llama");
    writer.add_tensor("a", {16}, GgufWriter::kF32, std::string(64, 'a'));
    writer.add_info("b", std::move(shape), type, offset);
    const Result<std::unique_ptr<Checkpoint>> checkpoint = open_image(writer);
    return checkpoint ? "none" : checkpoint.error().message;
  };
  EXPECT_EQ(with({1}, GgufWriter::kF32, 64), "m.gguf: tensor \"b\" ends past the end of the file");
  EXPECT_EQ(with({1}, GgufWriter::kF32, 32), "m.gguf: tensor \"b\" overlaps another");
  EXPECT_EQ(with({1}, 99, 32), "m.gguf: tensor \"b\" overlaps another");
  EXPECT_EQ(with({1 << 20, 1 << 20}, GgufWriter::kBF16, 64), "m.gguf: tensor \"b\" ends past the end of the file");
  EXPECT_EQ(with({1, 33}, GgufWriter::kQ8_0, 64), "m.gguf: tensor \"b\" has rows of no whole number of blocks");
}

}  // namespace
}  // namespace caudal
