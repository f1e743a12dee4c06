// The models of tests/reference/models and what transformers answers with them (see the README there).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/types.h"

namespace caudal {

struct FixtureCase {
  std::vector<TokenId> prompt;
  std::vector<std::int64_t> logit_positions;
  std::vector<float> logits;  // [logit_positions.size(), vocab_size]
  std::vector<TokenId> greedy_f32, greedy_bf16;
};

struct Fixture {
  std::string name;
  std::filesystem::path model_dir;
  std::int32_t context = 0;  // tokens it is to be served with
  std::vector<FixtureCase> cases;
};

std::vector<std::string> fixture_names();  // sorted
Fixture load_fixture(const std::string& name);

}  // namespace caudal
