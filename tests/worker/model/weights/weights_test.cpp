// Shards cut from a checkpoint put together again are the checkpoint; misfits are listed at once.
#include "worker/model/weights/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/factory/make_backend.h"
#include "tests/worker/model/llama_parameters.h"
#include "tests/worker/model/weights/safetensors_file.h"

namespace caudal {
namespace {

using testing::HasSubstr;
using testing::Not;

ModelConfig tiny_config() {
  ModelConfig config;
  config.vocab_size = 11;
  config.hidden_size = 6;
  config.intermediate_size = 10;
  config.layers = {{.num_heads = 4, .num_kv_heads = 2, .head_dim = 2}};
  return config;
}

// Every element's value is its index, so that a wrong cut shows.
std::map<std::string, TestTensor> matching_tensors(const ModelConfig& config) {
  std::map<std::string, TestTensor> tensors;
  const std::vector<Parameter> all = llama_parameters(config, 0, 1);
  for (const WeightPart* part : all_parts(all)) {
    std::vector<float> values(
        static_cast<std::size_t>(part->total_rows * std::max<std::int64_t>(part->total_columns, 1)));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i + 1);
    tensors[part->name] = f32_tensor(part->stored_shape(), values);
  }
  return tensors;
}

std::unique_ptr<Backend> cpu() { return std::move(make_backend({.num_threads = 1, .max_isa = ""})).value(); }

// That fits the model.
std::unique_ptr<Checkpoint> open(const TemporaryDir& dir, const ModelConfig& config, int rank, int size) {
  std::unique_ptr<Checkpoint> checkpoint = std::move(open_checkpoint(dir.path())).value();
  CHECK(check_weights(*checkpoint, config, llama_parameters(config, rank, size), *cpu()).ok());
  return checkpoint;
}

std::optional<DType> dtype_in(const TemporaryDir& dir, const ModelConfig& config) {
  return stored_dtype(*open(dir, config, 0, 1), llama_parameters(config, 0, 1));
}

std::vector<float> read(const Checkpoint& checkpoint, const WeightPart& part) {
  std::vector<float> values(static_cast<std::size_t>(part.rows.count * part.columns.count), -1.0F);
  const StoredPart stored = checkpoint.read(part);
  read_rows({&stored, 1}, 0, stored.rows, DType::kF32, reinterpret_cast<std::byte*>(values.data()));
  return values;
}

TEST(Weights, PartsHoldTheirElementsAndZerosBeyond) {
  const ModelConfig config = tiny_config();
  const TemporaryDir dir;
  dir.write("model.safetensors", safetensors_image(matching_tensors(config)));
  for (int size : {1, 2, 4}) {
    for (int rank = 0; rank < size; ++rank) {
      const std::vector<Parameter> all = llama_parameters(config, rank, size);
      const std::unique_ptr<Checkpoint> source = open(dir, config, rank, size);
      for (const WeightPart* part : all_parts(all)) {
        const std::vector<float> values = read(*source, *part);
        const std::int64_t total_columns = std::max<std::int64_t>(part->total_columns, 1);
        for (std::int64_t r = 0; r < part->rows.count; ++r) {
          for (std::int64_t c = 0; c < part->columns.count; ++c) {
            const std::int64_t y = part->rows.begin + r, x = part->columns.begin + c;
            const bool inside = y < part->total_rows && x < total_columns;
            const float expected = inside ? static_cast<float>(y * total_columns + x + 1) : 0.0F;
            ASSERT_EQ(values[static_cast<std::size_t>(r * part->columns.count + c)], expected) << part->name;
          }
        }
      }
    }
  }
}

TEST(Weights, MissingWrongAndLeftOverAreListedAtOnce) {
  const ModelConfig config = tiny_config();
  std::map<std::string, TestTensor> tensors = matching_tensors(config);
  tensors.erase("model.norm.weight");
  tensors.erase("model.layers.0.mlp.up_proj.weight");
  tensors["model.layers.1.mlp.up_proj.weight"] = f32_tensor({1}, {1.0F});
  tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = f32_tensor({1}, {1.0F});
  tensors["model.embed_tokens.weight"] = f32_tensor({2, 3}, std::vector<float>(6));
  tensors["lm_head.weight"].dtype = "I32";
  const TemporaryDir dir;
  dir.write("model.safetensors", safetensors_image(tensors));
  const std::vector<Parameter> all = llama_parameters(config, 0, 1);
  const Result<void> fits = check_weights(*open_checkpoint(dir.path()).value(), config, all, *cpu());
  ASSERT_FALSE(fits.ok());
  const std::string& message = fits.error().message;
  EXPECT_THAT(message, HasSubstr("Missing tensors: model.layers.0.mlp.up_proj.weight, model.norm.weight."));
  EXPECT_THAT(message, HasSubstr("model.embed_tokens.weight (is [2, 3], must be [11, 6])"));
  EXPECT_THAT(message, HasSubstr("lm_head.weight (is I32; may be BF16, F16, F32, Q8_0, "));
  EXPECT_THAT(message, HasSubstr("nothing reads: model.layers.1.mlp.up_proj.weight."));
  EXPECT_THAT(message, Not(HasSubstr("inv_freq")));
}

TEST(Weights, StoredDTypeOnlyWhenAllAgree) {
  const ModelConfig config = tiny_config();
  std::map<std::string, TestTensor> tensors = matching_tensors(config);
  const TemporaryDir same, mixed;
  same.write("model.safetensors", safetensors_image(tensors));
  EXPECT_EQ(dtype_in(same, config), DType::kF32);
  TestTensor& head = tensors["lm_head.weight"];
  head.dtype = "BF16";
  head.data.resize(head.data.size() / 2);
  mixed.write("model.safetensors", safetensors_image(tensors));
  EXPECT_FALSE(dtype_in(mixed, config).has_value());
}

// As GGUF files have them: matrices of two bytes and vectors of four.
TEST(Weights, VectorsOfAWiderTypeCountWhereTheirValuesFit) {
  const ModelConfig config = tiny_config();
  std::map<std::string, TestTensor> tensors = matching_tensors(config);
  for (auto& [name, tensor] : tensors) {
    if (tensor.shape.size() == 1) continue;
    tensor.dtype = "BF16";
    tensor.data.resize(tensor.data.size() / 2);
  }
  const TemporaryDir fits, does_not;
  fits.write("model.safetensors", safetensors_image(tensors));
  EXPECT_EQ(dtype_in(fits, config), DType::kBF16);
  tensors["model.norm.weight"] = f32_tensor({6}, {1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 1.001F});
  does_not.write("model.safetensors", safetensors_image(tensors));
  EXPECT_FALSE(dtype_in(does_not, config).has_value());
}

TEST(Weights, NoSilentChangeOfPrecision) {
  const std::unique_ptr<Backend> backend = cpu();
  EXPECT_EQ(choose_dtype(DTypeChoice::kAuto, DType::kBF16, *backend).value(), DType::kBF16);
  EXPECT_EQ(choose_dtype(DTypeChoice::kAuto, DType::kF32, *backend).value(), DType::kF32);
  EXPECT_EQ(choose_dtype(DTypeChoice::kF32, DType::kF16, *backend).value(), DType::kF32);
  EXPECT_EQ(choose_dtype(DTypeChoice::kBF16, DType::kF16, *backend).value(), DType::kBF16);
  EXPECT_EQ(choose_dtype(DTypeChoice::kF16, DType::kF16, *backend).error().field, "dtype");
  EXPECT_EQ(choose_dtype(DTypeChoice::kAuto, DType::kF16, *backend).value(), DType::kF32);
  EXPECT_EQ(choose_dtype(DTypeChoice::kAuto, std::nullopt, *backend).value(), DType::kF32);
}

TEST(Weights, KAndVAreF16OnlyBesideWeightsThatWereRounded) {
  const std::unique_ptr<Backend> backend = cpu();
  const auto chosen = [&](DTypeChoices choices, DType dtype, std::optional<DType> stored) {
    return choose_kv_dtype(choices, dtype, stored, *backend);
  };
  EXPECT_EQ(chosen({}, DType::kF32, std::nullopt).value(), DType::kF16);
  EXPECT_EQ(chosen({}, DType::kF32, DType::kF16).value(), DType::kF16);
  EXPECT_EQ(chosen({}, DType::kF32, DType::kF32).value(), DType::kF32);
  EXPECT_EQ(chosen({}, DType::kBF16, DType::kBF16).value(), DType::kBF16);
  EXPECT_EQ(chosen({.activations = DTypeChoice::kF32}, DType::kF32, DType::kBF16).value(), DType::kF32);
  EXPECT_EQ(chosen({.kv = DTypeChoice::kF32}, DType::kF32, std::nullopt).value(), DType::kF32);
  EXPECT_EQ(chosen({.kv = DTypeChoice::kF16}, DType::kF32, DType::kF32).value(), DType::kF16);
  EXPECT_EQ(chosen({.kv = DTypeChoice::kF16}, DType::kBF16, DType::kBF16).error().field, "kv-cache-dtype");
  EXPECT_EQ(chosen({.kv = DTypeChoice::kBF16}, DType::kF32, DType::kF32).error().field, "kv-cache-dtype");
}

TEST(Weights, DummyIsTheSameModelForEveryPartition) {
  const ModelConfig config = tiny_config();
  const std::unique_ptr<Checkpoint> source = dummy_checkpoint(llama_parameters(config, 0, 1));
  const auto head = [&](int rank, int size) {
    return find_parameter(llama_parameters(config, rank, size), "lm_head.weight").parts.front();
  };
  const std::vector<float> whole = read(*source, head(0, 1));
  std::vector<float> halves = read(*source, head(0, 2));
  const std::vector<float> second = read(*source, head(1, 2));
  halves.insert(halves.end(), second.begin(), second.end());
  EXPECT_EQ(std::vector<float>(halves.begin(), halves.begin() + 66), whole);
  EXPECT_EQ(std::vector<float>(halves.begin() + 66, halves.end()), std::vector<float>(6, 0.0F));
  double squares = 0.0;
  for (float value : whole) squares += value * value;
  EXPECT_NEAR(std::sqrt(squares / 66.0), 0.02, 0.005);
}

}  // namespace
}  // namespace caudal
