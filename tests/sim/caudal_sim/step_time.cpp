#include "tests/sim/caudal_sim/step_time.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace caudal::sim {

namespace {

template <typename Entry>
Result<Entry> find_by_name(const std::vector<Entry>& entries, const std::string& name, const char* what) {
  std::string known;
  for (const Entry& entry : entries) {
    if (entry.name == name) return entry;
    known += " " + entry.name;
  }
  return Error{std::string("unknown ") + what + "; known:" + known, what};
}

}  // namespace

Result<ModelShape> find_model(const std::string& name) {
  static const std::vector<ModelShape> models = {
      {"llama-3.1-8b-bf16", 15.0e9, 7.5e9, 128 * 1024.0, 32, 8192, 32 * 4096.0},
      {"llama-3.1-70b-fp8", 69.5e9, 69.5e9, 320 * 1024.0, 80, 16384, 80 * 8192.0},
      {"qwen3-0.6b-bf16", 1.19e9, 0.6e9, 112 * 1024.0, 28, 2048, 28 * 2048.0},
  };
  return find_by_name(models, name, "model");
}

Result<Device> find_device(const std::string& name) {
  static const std::vector<Device> devices = {
      {"h200", 4.3e12, 790e12, 141e9, 450e9, 10.0, 300.0},
      {"cpu", 31e9, 6.1e12, 16e9, 10e9, 20.0, 100.0},
  };
  return find_by_name(devices, name, "device");
}

double roofline_us(const ModelShape& model, const Device& device, int num_ranks, const StepWork& work) {
  const double bytes = model.weight_bytes + work.num_kv_tokens * model.kv_bytes_per_token;
  const double operations = 2.0 * model.parameters * work.num_tokens + 4.0 * model.attention_width * work.num_pairs;
  const double seconds = std::max(bytes / device.bytes_per_s, operations / device.flops) / num_ranks;
  double all_reduces_us = 0.0;
  if (num_ranks > 1) {
    const double message = work.num_tokens * model.hidden_bytes;
    const double share = 2.0 * (num_ranks - 1) / num_ranks;
    all_reduces_us = 2.0 * model.num_layers * (device.all_reduce_us + share * message / device.link_bytes_per_s * 1e6);
  }
  return seconds * 1e6 + all_reduces_us + device.step_overhead_us;
}

Result<StepTable> StepTable::read(const std::string& path) {
  std::ifstream file(path);
  StepTable table;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string first;
    double us = 0.0;
    if (!(words >> first >> us)) return Error{"a line of the step table is not two numbers: " + line, "step-table"};
    if (first == "kv") {
      table.us_per_1000_kv_ = us;
    } else {
      table.by_tokens_.emplace_back(std::strtod(first.c_str(), nullptr), us);
    }
  }
  if (table.by_tokens_.size() < 2) return Error{"the step table needs two lines or more", "step-table"};
  std::ranges::sort(table.by_tokens_);
  return table;
}

double StepTable::step_us(const StepWork& work) const {
  auto above = std::ranges::lower_bound(by_tokens_, work.num_tokens, {}, &std::pair<double, double>::first);
  above = std::clamp(above, by_tokens_.begin() + 1, by_tokens_.end() - 1);
  const auto& [x0, y0] = *(above - 1);
  const auto& [x1, y1] = *above;
  return y0 + (work.num_tokens - x0) * (y1 - y0) / (x1 - x0) + work.num_kv_tokens * us_per_1000_kv_ / 1000.0;
}

}  // namespace caudal::sim
