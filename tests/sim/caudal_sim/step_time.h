// How long a step takes on a replica: from the roofline (bytes over bandwidth or operations over peak, whichever is
// more, plus two all-reduces per layer), or from a table that was measured.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/result.h"
#include "tests/sim/caudal_sim/instant_table.h"

namespace caudal::sim {

struct ModelShape {
  std::string name;
  double weight_bytes = 0.0;  // read per step
  double parameters = 0.0;    // in matrix products
  double kv_bytes_per_token = 0.0;
  double num_layers = 0.0;
  double hidden_bytes = 0.0;     // of one token's activations
  double attention_width = 0.0;  // layers * heads * head_dim
};

// Figures that were measured on the device, not those of its data sheet.
struct Device {
  std::string name;
  double bytes_per_s = 0.0;
  double flops = 0.0;
  double memory_bytes = 0.0;
  double link_bytes_per_s = 0.0;  // to the other ranks of the replica
  double all_reduce_us = 0.0;     // latency of one
  double step_overhead_us = 0.0;  // launches, sampling
};

Result<ModelShape> find_model(const std::string& name);
Result<Device> find_device(const std::string& name);

// Measured: lines "TOKENS MICROSECONDS" for steps with short contexts, and one line "kv MICROSECONDS" per 1,000
// tokens of context read. Between its lines the table is linear.
class StepTable {
 public:
  static Result<StepTable> read(const std::string& path);
  double step_us(const StepWork& work) const;

 private:
  std::vector<std::pair<double, double>> by_tokens_;
  double us_per_1000_kv_ = 0.0;
};

double roofline_us(const ModelShape& model, const Device& device, int num_ranks, const StepWork& work);

}  // namespace caudal::sim
