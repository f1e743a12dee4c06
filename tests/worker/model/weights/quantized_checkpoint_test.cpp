// Matrices rounded while they are read: which ones, cut between blocks for every rank, and what is refused.
#include "worker/model/weights/quantized_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "kernels/factory/make_backend.h"
#include "tests/common/gguf/gguf_writer.h"
#include "tests/worker/model/llama_parameters.h"
#include "tests/worker/model/weights/safetensors_file.h"
#include "worker/model/weights/weights.h"

namespace caudal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kDown = "model.layers.0.mlp.down_proj.weight";  // cut by columns
constexpr const char* kGate = "model.layers.0.mlp.gate_proj.weight";  // cut by rows

ModelConfig small_config() {
  ModelConfig config;
  config.vocab_size = 11;
  config.hidden_size = 64;
  config.intermediate_size = 128;
  config.layers = {{.num_heads = 4, .num_kv_heads = 2, .head_dim = 16}};
  return config;
}

Result<std::unique_ptr<Checkpoint>> quantized(StoredFormat format, const ModelConfig& config, int rank = 0,
                                              int size = 1) {
  const std::vector<Parameter> parameters = llama_parameters(config, rank, size);
  return QuantizedCheckpoint::create(dummy_checkpoint(parameters), format, config, parameters);
}

std::unique_ptr<Backend> one_core() { return std::move(make_backend({.num_threads = 1, .max_isa = ""})).value(); }

const WeightPart& part_of(const std::vector<Parameter>& parameters, const std::string& name) {
  for (const WeightPart* part : all_parts(parameters))
    if (part->name == name) return *part;
  CHECK(false);
  std::abort();
}

std::vector<std::byte> row_of(const StoredPart& part, std::int64_t row) {
  const std::byte* begin = part.data + row * static_cast<std::ptrdiff_t>(part.row_bytes);
  return {begin, begin + stored_bytes(part.format, part.stored_columns)};
}

TEST(QuantizedCheckpoint, RoundsMatricesAndLeavesVectors) {
  ModelConfig config = small_config();
  for (const bool tied : {false, true}) {
    config.tied_embeddings = tied;
    const std::unique_ptr<Checkpoint> checkpoint = quantized(StoredFormat::kQ4_0, config).value();
    const auto format = [&](const char* name) { return checkpoint->tensors().find(name)->second.format; };
    EXPECT_EQ(format(kDown), "Q4_0");
    EXPECT_EQ(format("model.layers.0.self_attn.k_proj.weight"), "Q4_0");
    EXPECT_EQ(format("model.norm.weight"), "F32");
    EXPECT_EQ(format("model.layers.0.input_layernorm.weight"), "F32");
    EXPECT_EQ(format(kEmbeddingName), tied ? "Q8_0" : "Q4_0");
    if (!tied) {
      EXPECT_EQ(format(kHeadName), "Q8_0");
    }
    EXPECT_FALSE(stored_dtype(*checkpoint, llama_parameters(config, 0, 1)).has_value());
  }
}

// Of three blocks one has the value 2 alone, one is zeros and one is the numbers 0 to 31.
TEST(QuantizedCheckpoint, ValuesAreThoseOfTheBlocks) {
  ModelConfig config = small_config();
  config.hidden_size = 96;
  std::map<std::string, TestTensor> tensors;
  const std::vector<Parameter> all = llama_parameters(config, 0, 1);
  for (const WeightPart* part : all_parts(all)) {
    std::vector<float> values(
        static_cast<std::size_t>(part->total_rows * std::max<std::int64_t>(part->total_columns, 1)));
    if (part->name == kGate) {
      values[5] = 2.0F;
      for (std::size_t i = 0; i < 32; ++i) values[64 + i] = static_cast<float>(i);
    }
    tensors[part->name] = f32_tensor(part->stored_shape(), values);
  }
  const TemporaryDir dir;
  dir.write("model.safetensors", safetensors_image(tensors));
  const std::unique_ptr<Checkpoint> checkpoint =
      QuantizedCheckpoint::create(std::move(open_checkpoint(dir.path())).value(), StoredFormat::kQ8_0, config, all)
          .value();
  const StoredPart part = checkpoint->read(part_of(all, kGate));
  std::vector<float> row(96);
  read_rows({&part, 1}, 0, 1, DType::kF32, reinterpret_cast<std::byte*>(row.data()));
  EXPECT_NEAR(row[5], 2.0F, 1e-3F);  // 127 times 2 / 127 as f16
  EXPECT_EQ(row[6], 0.0F);
  EXPECT_EQ(row[40], 0.0F);
  const float scale = 0.24414062F;  // 31 / 127 as f16: codes are round(127 / 31 i)
  EXPECT_EQ(row[64 + 31], 127 * scale);
  EXPECT_EQ(row[64 + 1], 4 * scale);
  EXPECT_EQ(row[64 + 10], 41 * scale);
}

TEST(QuantizedCheckpoint, RanksHoldTheBlocksOfTheWhole) {
  const ModelConfig config = small_config();
  for (const StoredFormat format : {StoredFormat::kQ8_0, StoredFormat::kQ4_0}) {
    const std::vector<Parameter> all = llama_parameters(config, 0, 1);
    const std::unique_ptr<Checkpoint> whole = quantized(format, config).value();
    const StoredPart down = whole->read(part_of(all, kDown)), gate = whole->read(part_of(all, kGate));
    for (int rank = 0; rank < 2; ++rank) {
      const std::vector<Parameter> mine = llama_parameters(config, rank, 2);
      const std::unique_ptr<Checkpoint> half = quantized(format, config, rank, 2).value();
      const StoredPart by_columns = half->read(part_of(mine, kDown)), by_rows = half->read(part_of(mine, kGate));
      ASSERT_EQ(by_columns.format, format);
      const std::vector<std::byte> full = row_of(down, 3), cut = row_of(by_columns, 3);
      ASSERT_EQ(2 * cut.size(), full.size());
      EXPECT_TRUE(std::equal(cut.begin(), cut.end(), full.begin() + rank * std::ssize(cut)));
      EXPECT_EQ(row_of(by_rows, 3), row_of(gate, 64 * rank + 3));
    }
  }
}

TEST(QuantizedCheckpoint, WhatCannotBeRoundedIsNamed) {
  ModelConfig config = small_config();
  config.intermediate_size = 100;
  const Result<std::unique_ptr<Checkpoint>> uneven = quantized(StoredFormat::kQ8_0, config);
  ASSERT_FALSE(uneven.ok());
  EXPECT_EQ(uneven.error().message,
            "dummy weights: --quantize rounds bf16, f16 and f32. Rows of no whole number of blocks: "
            "model.layers.0.mlp.down_proj.weight (is [64, 100]; Q8_0 has blocks of 32 values).");
  EXPECT_EQ(uneven.error().field, "quantize");

  GgufWriter writer;
  writer.add("general.architecture", "llama");
  writer.add("llama.embedding_length", 64U);
  writer.add("llama.attention.head_count", 4U);
  writer.add_tensor("token_embd.weight", {11, 64}, GgufWriter::kQ8_0, std::string(22 * 34, '\0'));
  writer.add_tensor("output.weight", {11, 64}, GgufWriter::kBF16, std::string(22 * 64, '\0'));
  const TemporaryDir dir;
  dir.write("m.gguf", writer.image());
  const Result<std::unique_ptr<Checkpoint>> stored =
      QuantizedCheckpoint::create(std::move(open_checkpoint(dir.path())).value(), StoredFormat::kQ4_0, small_config(),
                                  llama_parameters(small_config(), 0, 1));
  ASSERT_FALSE(stored.ok());
  EXPECT_THAT(stored.error().message,
              AllOf(HasSubstr("m.gguf: "), HasSubstr("Stored in blocks already: model.embed_tokens.weight (is Q8_0)."),
                    Not(HasSubstr(kHeadName))));
}

// A block of 32 values takes 18 or 34 bytes instead of 128. So do the embeddings, where they are not the head's.
TEST(QuantizedCheckpoint, ThePlanCountsBlocks) {
  ModelConfig config = small_config();
  config.vocab_size = 32;
  const std::vector<Parameter> all = llama_parameters(config, 0, 1);
  const std::unique_ptr<Backend> backend = one_core();
  const auto bytes = [&](const Checkpoint& checkpoint) {
    return weights_bytes(*backend, checkpoint, all, DType::kF32);
  };
  const std::size_t plain = bytes(*dummy_checkpoint(all));
  constexpr std::size_t kLayerBlocks = (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128) / 32, kHeadBlocks = 32 * 64 / 32;
  EXPECT_EQ(plain - bytes(*quantized(StoredFormat::kQ8_0, config).value()),
            (kLayerBlocks + 2 * kHeadBlocks) * (128 - 34));
  EXPECT_EQ(plain - bytes(*quantized(StoredFormat::kQ4_0, config).value()),
            (kLayerBlocks + kHeadBlocks) * (128 - 18) + kHeadBlocks * (128 - 34));
}

// Half of 96 is one block and a half.
TEST(QuantizedCheckpoint, CutsThroughABlockAreRefused) {
  ModelConfig config = small_config();
  config.intermediate_size = 96;
  const std::unique_ptr<Backend> backend = one_core();
  const std::unique_ptr<Checkpoint> checkpoint = quantized(StoredFormat::kQ8_0, config, 0, 2).value();
  const Result<void> fits = check_weights(*checkpoint, config, llama_parameters(config, 0, 2), *backend);
  ASSERT_FALSE(fits.ok());
  EXPECT_THAT(fits.error().message,
              HasSubstr("down_proj.weight (is Q8_0, whose blocks of 32 values cannot be divided among so many ranks)"));
}

}  // namespace
}  // namespace caudal
