// How a model is divided: heads, replicated KV heads, padded vocabulary and inner dimension, refusals.
#include "worker/model/partition.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/worker/model/llama_parameters.h"

namespace caudal {
namespace {

ModelConfig shape(std::int64_t heads, std::int64_t kv_heads) {
  ModelConfig config;
  config.layers = {{.num_heads = heads, .num_kv_heads = kv_heads, .head_dim = 2}};
  config.hidden_size = 6;
  config.intermediate_size = 10;
  config.vocab_size = 11;
  return config;
}

TEST(Partition, DividesHeadsAndKvHeads) {
  const Partition part = make_partition(shape(8, 4), 1, 2).value();
  const LayerPart& layer = part.layers.at(0);
  EXPECT_EQ(layer.heads.begin, 4);
  EXPECT_EQ(layer.heads.count, 4);
  EXPECT_EQ(layer.kv_heads.begin, 2);
  EXPECT_EQ(layer.kv_heads.count, 2);
}

TEST(Partition, ReplicatesKvHeadsBeyondTheirNumber) {
  // Every query head must find the KV head of its group on its own rank.
  const ModelConfig config = shape(16, 2);
  for (int rank = 0; rank < 8; ++rank) {
    const Partition part = make_partition(config, rank, 8).value();
    const LayerPart& layer = part.layers.at(0);
    EXPECT_EQ(layer.kv_heads.count, 1);
    for (std::int64_t h = layer.heads.begin; h < layer.heads.begin + layer.heads.count; ++h)
      EXPECT_EQ(layer.kv_heads.begin, h / (16 / 2));
  }
}

TEST(Partition, CutsEachLayerByItsOwnHeads) {
  ModelConfig config = shape(8, 4);
  config.layers.push_back({.num_heads = 12, .num_kv_heads = 2, .head_dim = 2});
  const Partition part = make_partition(config, 3, 4).value();
  ASSERT_EQ(part.layers.size(), 2U);
  EXPECT_EQ(part.layers[0].heads.begin, 6);
  EXPECT_EQ(part.layers[0].heads.count, 2);
  EXPECT_EQ(part.layers[0].kv_heads.begin, 3);
  EXPECT_EQ(part.layers[1].heads.begin, 9);
  EXPECT_EQ(part.layers[1].heads.count, 3);
  EXPECT_EQ(part.layers[1].kv_heads.begin, 1) << "shared with rank 2";
  EXPECT_EQ(part.layers[1].kv_heads.count, 1);
  const Result<Partition> eight = make_partition(config, 0, 8);
  ASSERT_FALSE(eight.ok());
  EXPECT_NE(eight.error().message.find("12 heads with 2 KV heads; possible are 1, 2, 4"), std::string::npos)
      << eight.error().message;
}

TEST(Partition, PadsVocabularyAndInnerDimension) {
  std::int64_t covered = 0;
  for (int rank = 0; rank < 4; ++rank) {
    const Partition part = make_partition(shape(8, 4), rank, 4).value();
    EXPECT_EQ(part.vocabulary.begin, covered);
    EXPECT_EQ(part.vocabulary.count, 3);
    EXPECT_EQ(part.intermediate.count, 3);
    covered += part.vocabulary.count;
  }
  EXPECT_EQ(covered, 12);
}

TEST(Partition, RefusesWhatCannotBeSplit) {
  const Result<Partition> three = make_partition(shape(8, 4), 0, 3);
  ASSERT_FALSE(three.ok());
  EXPECT_NE(three.error().message.find("possible are 1, 2, 4, 8"), std::string::npos) << three.error().message;
  EXPECT_FALSE(
      make_partition(shape(12, 4), 0, 6).ok());  // divides the heads, but neither divides KV heads nor is a multiple
  EXPECT_FALSE(make_partition(shape(8, 4), 0, 16).ok());
}

// Every row and column of every matrix is held by some rank, and biases of summed outputs by exactly one.
TEST(Parameters, RanksTogetherHoldEverything) {
  ModelConfig config = shape(8, 4);
  config.qkv_bias = config.output_bias = config.mlp_bias = config.qk_norm = true;
  for (int size : {1, 2, 4, 8}) {
    std::map<std::string, std::int64_t> covered, total;
    for (int rank = 0; rank < size; ++rank) {
      const std::vector<Parameter> all = llama_parameters(config, rank, size);
      for (const WeightPart* part : all_parts(all)) {
        const std::int64_t columns = std::max<std::int64_t>(part->total_columns, 1);
        const std::int64_t rows_in = std::clamp<std::int64_t>(part->total_rows - part->rows.begin, 0, part->rows.count);
        const std::int64_t columns_in = std::clamp<std::int64_t>(columns - part->columns.begin, 0, part->columns.count);
        covered[part->name] += rows_in * columns_in;
        total[part->name] = part->total_rows * columns;
      }
    }
    for (const auto& [name, elements] : total) {
      const bool whole_on_all = name.ends_with("norm.weight");
      const bool kv = name.find(".k_proj") != std::string::npos || name.find(".v_proj") != std::string::npos;
      const std::int64_t copies = whole_on_all ? size
                                  : kv         ? std::max<std::int64_t>(1, size / config.layers[0].num_kv_heads)
                                               : 1;
      EXPECT_EQ(covered[name], copies * elements) << name << " with " << size;
    }
  }
}

TEST(Parameters, FusesQkvAndGateUp) {
  ModelConfig config = shape(8, 4);
  const std::vector<Parameter> all = llama_parameters(config, 1, 2);
  const std::string layer = "model.layers.0.";
  const Parameter qkv = find_parameter(all, layer + "self_attn.q_proj.weight");
  EXPECT_EQ(qkv.rows(), (4 + 2 * 2) * 2);
  EXPECT_EQ(qkv.columns(), 6);
  EXPECT_EQ(find_parameter(all, layer + "mlp.gate_proj.weight").rows(), 2 * 5);
  EXPECT_EQ(find_parameter(all, layer + "self_attn.o_proj.weight").columns(), 8);
  EXPECT_FALSE(find_parameter(all, layer + "self_attn.q_proj.bias").held());
  EXPECT_TRUE(is_redundant(config, "model.layers.0.self_attn.rotary_emb.inv_freq"));
  EXPECT_FALSE(is_redundant(config, "lm_head.weight"));
}

}  // namespace
}  // namespace caudal
