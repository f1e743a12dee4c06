#include "common/model_files/rope_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace caudal {
namespace {

constexpr double kMaxFactor = 1024.0;  // far past every published model

double yarn_mscale(double factor, double mscale) { return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

void read_yarn(const JsonNode& scaling, RopeConfig& rope) {
  rope.scaling = RopeScaling::kYarn;
  rope.beta_fast = scaling.positive("beta_fast", 32.0);
  rope.beta_slow = scaling.positive("beta_slow", 1.0);
  rope.truncate = scaling.flag("truncate", true);
  const double unstated = scaling.has("mscale") && scaling.has("mscale_all_dim")
                              ? yarn_mscale(rope.factor, scaling.positive("mscale")) /
                                    yarn_mscale(rope.factor, scaling.positive("mscale_all_dim"))
                              : yarn_mscale(rope.factor, 1.0);
  rope.attention_factor = scaling.positive("attention_factor", unstated);
}

void read_llama3(const JsonNode& scaling, RopeConfig& rope) {
  rope.scaling = RopeScaling::kLlama3;
  rope.low_freq_factor = scaling.positive("low_freq_factor");
  rope.high_freq_factor = scaling.positive("high_freq_factor");
  if (rope.low_freq_factor >= rope.high_freq_factor) {
    scaling.fail_at("high_freq_factor", "must be above low_freq_factor");
  }
}

void read_factors(const JsonNode& scaling, RopeConfig& rope) {
  rope.scaling = RopeScaling::kFactors;
  const JsonNode factors = scaling.at("factors");
  for (std::size_t i = 0; i < factors.size(); ++i) {
    rope.factors.push_back(factors.at(i).number());
    if (!(rope.factors.back() > 0.0)) scaling.fail_at("factors", "must be above 0");
  }
}

void read_scaling(const JsonNode& scaling, std::string_view type, RopeConfig& rope) {
  if (type == "frequency_factors") return read_factors(scaling, rope);
  rope.original_max_position = scaling.count("original_max_position_embeddings", rope.max_position);
  if (type == "yarn" && !scaling.has("factor")) {
    rope.factor = static_cast<double>(rope.max_position) / static_cast<double>(rope.original_max_position);
  } else {
    rope.factor = scaling.positive("factor");
  }
  if (rope.factor > kMaxFactor) scaling.fail_at("factor", fmt::format("must be at most {}", kMaxFactor));
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "dynamic") {
    rope.scaling = RopeScaling::kDynamic;
  } else if (type == "llama3") {
    read_llama3(scaling, rope);
  } else if (type == "yarn") {
    read_yarn(scaling, rope);
  } else {
    scaling.fail_at("rope_type", "is unknown; known are default, linear, dynamic, llama3, yarn");
  }
}

}  // namespace

std::int64_t RopeConfig::default_context() const {
  return scaling == RopeScaling::kYarn ? longest_context() : max_position;
}

std::int64_t RopeConfig::longest_context() const {
  const auto stretched = [&](std::int64_t length) {
    return static_cast<std::int64_t>(static_cast<double>(length) * factor);
  };
  switch (scaling) {
    case RopeScaling::kLinear:
    case RopeScaling::kDynamic:
      return std::max(max_position, stretched(max_position));
    case RopeScaling::kYarn:
      return std::max(max_position, stretched(original_max_position));
    case RopeScaling::kNone:
    case RopeScaling::kLlama3:
    case RopeScaling::kFactors:
      break;
  }
  return max_position;
}

// Published configs have "rope_theta" and "rope_scaling" side by side, or both inside "rope_parameters". The type
// "frequency_factors" is ours: it is how GGUF files say it (gguf_config.cpp).
RopeConfig read_rope(const JsonNode& config) {
  RopeConfig rope;
  rope.max_position = config.count("max_position_embeddings");
  rope.original_max_position = rope.max_position;
  rope.theta = config.positive("rope_theta", rope.theta);
  const auto scaling = config.find(config.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  if (!scaling) return rope;
  rope.theta = scaling->positive("rope_theta", rope.theta);
  if (scaling->positive("partial_rotary_factor", 1.0) != 1.0) scaling->fail_at("partial_rotary_factor", "must be 1");
  const std::string_view type = scaling->text(scaling->has("rope_type") ? "rope_type" : "type", "default");
  if (type != "default") read_scaling(*scaling, type, rope);
  return rope;
}

}  // namespace caudal
