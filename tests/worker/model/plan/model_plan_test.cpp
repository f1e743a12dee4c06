// What a plan says is what a model takes: ops, widths and memory of small configs, worked out by hand.
#include "worker/model/plan/model_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/factory/make_backend.h"
#include "tests/worker/model/weights/safetensors_file.h"
#include "worker/batch/sequence_table.h"
#include "worker/comm/local.h"
#include "worker/model/families/registry.h"

namespace caudal {
namespace {

// 8 heads of 16, 4 KV heads, 3 layers of which the last two have a window.
constexpr const char* kConfig =
    R"({"architectures": ["Qwen2ForCausalLM"], "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 3,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 16, "vocab_size": 99,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "use_sliding_window": true, "sliding_window": 5,
        "max_window_layers": 1, "torch_dtype": "float32"})";
const StepLimits kLimits{.max_tokens = 40, .max_rows = 12, .max_context = 64};

class ModelPlans : public testing::Test {
 protected:
  ModelPlans() { dir_.write("config.json", kConfig); }
  OpenedModel open(int rank, int size, DTypeChoice dtype = DTypeChoice::kF32) const {
    const ModelChoice choice{dir_.path(), LoadFormat::kDummy, dtype, known_families()};
    return std::move(open_model(load_model_spec(dir_.path(), known_families()).value(), choice, rank, size, *cpu_))
        .value();
  }

  TemporaryDir dir_;
  std::unique_ptr<Backend> cpu_ = std::move(make_backend({.num_threads = 1, .max_isa = ""})).value();
};

// Of a layer: 2 norms, 4 matmuls, rotation, attention in 3 launches, activation. Once: the embedding, the last norm,
// rows, the head's matmul.
TEST_F(ModelPlans, CountOps) { EXPECT_EQ(plan_model(open(0, 1), kLimits, *cpu_).num_ops, 11 * 3 + 4); }

// Ranks add 2 sums a layer, the embedding's sum, and the logits' parts gathered and set side by side.
TEST_F(ModelPlans, CountMessagesBetweenRanks) {
  EXPECT_EQ(plan_model(open(1, 2), kLimits, *cpu_).num_ops, 13 * 3 + 4 + 1 + 1 + 2);
  EXPECT_EQ(plan_model(open(3, 4), kLimits, *cpu_).num_ops, 13 * 3 + 4 + 1 + 1 + 4);
}

TEST_F(ModelPlans, KnowTheShapesOfAStep) {
  const ModelPlan whole = plan_model(open(0, 1, DTypeChoice::kBF16), kLimits, *cpu_);
  EXPECT_EQ(whole.num_logits, 99);
  EXPECT_EQ(whole.row_in_bytes, 160U * 2) << "the MLP's inner values";
  EXPECT_EQ(whole.row_out_bytes, 320U * 2) << "gate and up; logits are 99 values in f32";
  ASSERT_EQ(whole.heads.size(), 2U);
  for (const HeadSizes& heads : whole.heads) {
    EXPECT_EQ(heads.num_heads, 8);
    EXPECT_EQ(heads.num_kv_heads, 4);
    EXPECT_EQ(heads.head_dim, 16);
    EXPECT_EQ(heads.dtype, DType::kBF16);
  }
  EXPECT_EQ(whole.heads[0].sliding_window, 0);
  EXPECT_EQ(whole.heads[1].sliding_window, 5);
  const ModelPlan half = plan_model(open(1, 2), kLimits, *cpu_);
  EXPECT_EQ(half.num_logits, 100) << "two halves of 50";
  EXPECT_EQ(half.row_in_bytes, 96U * 4) << "hidden states, which are whole";
  EXPECT_EQ(half.row_out_bytes, 160U * 4);
  EXPECT_EQ(half.kv.layers.at(0).num_kv_heads, 2);
}

TEST_F(ModelPlans, MakeOneStepSizeOfSeveralModels) {
  StepSizes sizes;
  plan_model(open(0, 1), kLimits, *cpu_).widen(sizes);
  EXPECT_EQ(sizes.vocab_size, 99);
  sizes.vocab_size = 1000;
  sizes.row_in_bytes = 1;
  plan_model(open(0, 1), kLimits, *cpu_).widen(sizes);
  EXPECT_EQ(sizes.vocab_size, 1000);
  EXPECT_EQ(sizes.row_in_bytes, 160U * 4);
  EXPECT_EQ(sizes.heads.size(), 4U);
}

TEST_F(ModelPlans, GroupLayersByTheirWindow) {
  const ModelPlan plan = plan_model(open(0, 1), kLimits, *cpu_);
  EXPECT_EQ(plan.kv.groups, (std::vector<KvGroup>{{0, {0}}, {5, {1}}, {5, {2}}}));
}

// All that lives at a time, in pieces of 256 bytes: x and the residual stream, and the MLP's gate and up beside its
// inner values. The table of the rotary embedding stays.
TEST_F(ModelPlans, KnowTheWorkspace) {
  const ModelPlan plan = plan_model(open(0, 1), kLimits, *cpu_);
  EXPECT_EQ(plan.temporary_bytes, 40U * 4 * (96 + 96 + 320 + 160));
  EXPECT_EQ(plan.workspace_bytes, plan.temporary_bytes + 64 * 16 * 4);
  // With many rows of logits those are more: x, the rows, and their logits.
  const StepLimits rows{.max_tokens = 40, .max_rows = 400, .max_context = 64};
  const std::size_t logits_bytes = (400U * 99 * 4 + 255) / 256 * 256;
  EXPECT_EQ(plan_model(open(0, 1), rows, *cpu_).temporary_bytes, 40U * 4 * 96 + 400 * 4 * 96 + logits_bytes);
}

TEST_F(ModelPlans, NameEveryParameter) {
  const ModelPlan plan = plan_model(open(0, 1), kLimits, *cpu_);
  std::vector<std::string> names;
  for (const WeightPart* part : all_parts(plan.parameters)) names.push_back(part->name);
  EXPECT_EQ(names.size(), 3U + 3 * 12);  // of a layer: 2 norms, q k v with biases, o, gate, up, down
  for (const char* name : {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight",
                           "model.layers.2.self_attn.k_proj.bias", "model.layers.2.mlp.down_proj.weight"})
    EXPECT_THAT(names, testing::Contains(name));
}

// Computes the largest step with as much workspace as the plan says, and less by `missing` bytes.
void compute_largest_step(const OpenedModel& model, ModelPlan plan, Backend& backend, std::size_t missing) {
  plan.temporary_bytes -= missing;
  const std::unique_ptr<Communicator> alone = std::move(make_local_group(1).front());
  const std::unique_ptr<Model> loaded = std::move(load_model(model, plan, backend, *alone)).value();
  const std::int64_t num_blocks = (kLimits.max_tokens + kBlockSize - 1) / kBlockSize;
  const KvCache cache = std::move(KvCache::create(backend, plan.kv, num_blocks * std::ssize(plan.kv.groups))).value();
  SequenceRow sequence;
  sequence.tokens.assign(static_cast<std::size_t>(kLimits.max_tokens), 7);
  for (const BlockId block : ids<BlockId>(num_blocks * std::ssize(plan.kv.groups))) sequence.blocks.push_back(block);
  const auto num_tokens = static_cast<std::int32_t>(kLimits.max_tokens);
  const Batch batch =
      make_batch({{&sequence, 0, num_tokens, static_cast<std::int32_t>(kLimits.max_rows)}}, cache.rows_per_block());
  const auto uploader =
      std::move(BatchUploader::create(backend, kLimits.max_tokens, 1, num_blocks, plan.kv.groups.size())).value();
  const DeviceBatch device = uploader->upload(batch);
  const Tensor logits = loaded->logits(loaded->forward(device, cache), device.logit_rows);
  ASSERT_EQ(logits.dim(0), kLimits.max_rows);
  ASSERT_EQ(logits.dim(1), plan.num_logits);
}

TEST_F(ModelPlans, AreExactlyWhatTheLargestStepTakes) {
  const OpenedModel model = open(0, 1);
  const ModelPlan plan = plan_model(model, kLimits, *cpu_);
  compute_largest_step(model, plan, *cpu_, 0);
  EXPECT_DEATH(compute_largest_step(model, plan, *cpu_, 1), "more workspace than planned");
}

}  // namespace
}  // namespace caudal
