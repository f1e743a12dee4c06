// caudal-sim: what a cluster of any size would do, on the scheduler that is shipped. Steps take what the roofline or
// a measured table says; the coordinator takes what its turns take on this machine. `caudal-sim --help` lists the
// flags; tests/sim/STUDY.md has a study made with it.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "common/command_line.h"
#include "tests/sim/caudal_sim/cell.h"

namespace caudal::sim {
namespace {

struct Flags {
  int num_gpus = 8;
  int num_cells = 1;
  int simulated_cells = 0;
  int tensor_parallel = 1;
  std::string model = "llama-3.1-8b-bf16";
  std::string device = "h200";
  std::string step_table;
  std::string trace;
  TraceOptions workload;
  double rate_per_gpu = 0.0;
  double warmup_s = 2.0;
  double drain_s = 0.0;
  int shared_tokens = 512;
  int max_sequences = 256;
  int max_tokens_per_step = 2048;
  int network_us = 100;
  int turn_us = 0;
  bool prefix_caching = true;
  double slo_ttft_ms = 2000.0;
  double slo_tpot_ms = 100.0;
};

void parse(CommandLine& line, Flags& flags) {
  line.add("--gpus", flags.num_gpus, "devices in the whole cluster");
  line.add("--cells", flags.num_cells, "coordinators, each with an equal share of the devices and requests");
  line.add("--simulate-cells", flags.simulated_cells, "only so many of them; 0 = all. Totals are scaled up");
  line.add("--tensor-parallel", flags.tensor_parallel, "devices per replica");
  line.add("--model", flags.model, "llama-3.1-8b-bf16, llama-3.1-70b-fp8, qwen3-0.6b-bf16");
  line.add("--device", flags.device, "h200, cpu");
  line.add("--step-table", flags.step_table, "measured step times instead of the roofline (step_time.h)");
  const CommandLine::Option trace = line.add("--trace", flags.trace, "CSV of ARRIVAL_S,PROMPT,OUTPUT[,GROUP]");
  line.add("--workload", flags.workload.workload, "azure-conversation, azure-code or PROMPTxOUTPUT").excludes(trace);
  line.add("--rate", flags.workload.rate, "requests per second, whole cluster");
  line.add("--rate-per-gpu", flags.rate_per_gpu, "the same per device");
  line.add("--seconds", flags.workload.seconds, "of arrivals");
  line.add("--groups", flags.workload.num_groups, "groups of requests that begin alike; 0 = none");
  line.add("--shared-tokens", flags.shared_tokens, "with which they begin");
  line.add("--seed", flags.workload.seed, "of the requests");
  line.add("--warmup", flags.warmup_s, "seconds of arrivals that are not judged");
  line.add("--drain", flags.drain_s, "seconds to go on after the last arrival");
  line.add("--max-sequences", flags.max_sequences, "running on a replica");
  line.add("--max-tokens-per-step", flags.max_tokens_per_step, "the budget of a step");
  line.add("--network-us", flags.network_us, "one way between coordinator and replica");
  line.add("--turn-us", flags.turn_us, "a turn of the coordinator, so that runs repeat; 0 = as measured");
  line.add("--prefix-caching", flags.prefix_caching, "true or false");
  line.add("--slo-ttft-ms", flags.slo_ttft_ms, "goodput: time to first token");
  line.add("--slo-tpot-ms", flags.slo_tpot_ms, "goodput: time per output token");
}

double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return NAN;
  const auto position = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::ranges::nth_element(values, position);
  return *position;
}

void print_row(const char* name, std::vector<double>& values) {
  const double p50 = percentile(values, 0.5);
  const double p90 = percentile(values, 0.9);
  fmt::print("{:<22} p50 {:9.1f}  p90 {:9.1f}  p99 {:9.1f} ms\n", name, p50, p90, percentile(values, 0.99));
}

// Judged are the requests that arrived after the warm-up and before the arrivals' end; rates count tokens in that time.
void print_report(const Flags& flags, const std::vector<CellReport>& cells, double scale) {
  std::vector<double> ttft_ms, tpot_ms;
  double num_judged = 0, num_started = 0, num_finished = 0, num_good = 0, num_tokens = 0;
  double coordinator_s = 0, worst_share = 0, end_s = 0, busy_s = 0, hit = 0, queried = 0, turns = 0, steps = 0,
         lines = 0, preemptions = 0;
  for (const CellReport& cell : cells) {
    for (const ServedRequest& request : cell.requests) {
      if (request.arrival < static_cast<Time>(flags.warmup_s * 1e6)) continue;
      ++num_judged;
      num_tokens += request.num_tokens;
      if (request.first_token == 0) continue;
      ++num_started;
      const double ttft = 1e-3 * static_cast<double>(request.first_token - request.arrival);
      ttft_ms.push_back(ttft);
      double tpot = 0.0;
      if (request.num_tokens > 1) {
        tpot = 1e-3 * static_cast<double>(request.last_token - request.first_token) / (request.num_tokens - 1);
        tpot_ms.push_back(tpot);
      }
      num_finished += request.finished ? 1 : 0;
      num_good += request.finished && ttft <= flags.slo_ttft_ms && tpot <= flags.slo_tpot_ms ? 1 : 0;
    }
    const double cell_s = 1e-6 * static_cast<double>(cell.end);
    coordinator_s += cell.coordinator_s;
    worst_share = std::max(worst_share, cell.coordinator_s / cell_s);
    end_s = std::max(end_s, cell_s);
    busy_s += cell.replica_busy_s;
    hit += static_cast<double>(cell.num_tokens_hit);
    queried += static_cast<double>(cell.num_tokens_queried);
    turns += static_cast<double>(cell.num_turns);
    steps += static_cast<double>(cell.num_steps);
    lines += static_cast<double>(cell.num_sequences_in_steps);
    preemptions += static_cast<double>(cell.num_preemptions);
  }
  const double window_s = end_s - flags.warmup_s;
  const double num_devices = flags.num_gpus / scale;
  fmt::print("simulated              {:.1f} s, {:.0f} requests judged, {:.0f} started, {:.0f} finished\n", end_s,
             num_judged, num_started, num_finished);
  fmt::print("throughput             {:.0f} output tokens/s, {:.1f} requests/s finished\n",
             scale * num_tokens / window_s, scale * num_finished / window_s);
  print_row("time to first token", ttft_ms);
  print_row("time per output token", tpot_ms);
  fmt::print("goodput                {:.1f} requests/s within {:.0f} / {:.0f} ms, {:.1f} % of the finished ones\n",
             scale * num_good / window_s, flags.slo_ttft_ms, flags.slo_tpot_ms,
             100.0 * num_good / std::max(num_finished, 1.0));
  fmt::print("prefix cache           {:.1f} % of prompt tokens hit; {:.0f} preemptions\n",
             100.0 * hit / std::max(queried, 1.0), scale * preemptions);
  fmt::print("devices                {:.1f} % of the time busy, {:.1f} sequences per step\n",
             100.0 * busy_s * flags.tensor_parallel / (num_devices * end_s), lines / std::max(steps, 1.0));
  fmt::print(
      "coordinator            {:.1f} % of a core (busiest cell {:.1f} %), {:.1f} us per step, {:.1f} steps per turn\n",
      100.0 * coordinator_s / (end_s * static_cast<double>(cells.size())), 100.0 * worst_share,
      1e6 * coordinator_s / std::max(steps, 1.0), steps / std::max(turns, 1.0));
}

Result<CellOptions> make_cell(const Flags& flags) {
  auto model = find_model(flags.model);
  if (!model) return model.error();
  auto device = find_device(flags.device);
  if (!device) return device.error();
  CellOptions cell;
  const double kv_bytes = 0.9 * device.value().memory_bytes * flags.tensor_parallel - model.value().weight_bytes;
  if (kv_bytes < 1e9) return Error{"the weights leave no memory for KV", "tensor-parallel"};
  cell.replica.num_blocks = static_cast<std::int32_t>(kv_bytes / (model.value().kv_bytes_per_token * kBlockSize));
  cell.replica.max_num_sequences = flags.max_sequences;
  cell.replica.max_tokens_per_step = flags.max_tokens_per_step;
  cell.replica.max_context_tokens = 32768;
  cell.replica.vocab_size = 1 << 17;
  cell.replica.model_digest = flags.model;
  cell.engine.scheduler.max_num_sequences = flags.max_sequences;
  cell.engine.scheduler.max_tokens_per_step = flags.max_tokens_per_step;
  cell.engine.scheduler.max_waiting = 1 << 24;
  cell.engine.scheduler.prefix_caching = flags.prefix_caching;
  cell.engine.cluster.lease_us = cell.engine.cluster.step_timeout_us = Time{1} << 50;
  cell.num_replicas = std::max(1, flags.num_gpus / flags.tensor_parallel / flags.num_cells);
  cell.network_us = flags.network_us;
  cell.turn_us = flags.turn_us;
  cell.shared_tokens = flags.shared_tokens;
  if (flags.step_table.empty()) {
    cell.step_us = [=](const StepWork& work) {
      return roofline_us(model.value(), device.value(), flags.tensor_parallel, work);
    };
  } else {
    auto table = StepTable::read(flags.step_table);
    if (!table) return table.error();
    cell.step_us = [table = std::move(table).value()](const StepWork& work) { return table.step_us(work); };
  }
  return cell;
}

int run(Flags flags) {
  if (flags.rate_per_gpu > 0) flags.workload.rate = flags.rate_per_gpu * flags.num_gpus;
  const auto cell = make_cell(flags);
  if (!cell) return fmt::print(stderr, "{}\n", cell.error().message), 1;
  const auto requests = flags.trace.empty() ? draw_trace(flags.workload) : read_trace(flags.trace);
  if (!requests) return fmt::print(stderr, "{}\n", requests.error().message), 1;
  const std::vector<TracedRequest>& all = requests.value();
  double prompt = 0, output = 0;
  for (const TracedRequest& request : all) prompt += request.num_prompt_tokens, output += request.num_output_tokens;
  const double count = std::max<double>(1.0, static_cast<double>(all.size()));
  fmt::print("cluster                {} x {} in {} cells of {} replicas, {}, {} blocks each\n", flags.num_gpus,
             flags.device, flags.num_cells, cell.value().num_replicas, flags.model, cell.value().replica.num_blocks);
  fmt::print("requests               {} of {:.0f} prompt and {:.0f} output tokens on average\n", all.size(),
             prompt / count, output / count);
  const int num_simulated =
      flags.simulated_cells > 0 ? std::min(flags.simulated_cells, flags.num_cells) : flags.num_cells;
  std::vector<CellReport> reports;
  for (int i = 0; i < num_simulated; ++i) {
    std::vector<TracedRequest> share;  // with its group's others, so that a cell finds their prefix
    for (std::size_t r = 0; r < all.size(); ++r) {
      const std::size_t key = all[r].group >= 0 ? static_cast<std::size_t>(all[r].group) : r;
      if (key % static_cast<std::size_t>(flags.num_cells) == static_cast<std::size_t>(i)) share.push_back(all[r]);
    }
    reports.push_back(run_cell(cell.value(), share, flags.drain_s));
  }
  print_report(flags, reports, static_cast<double>(flags.num_cells) / num_simulated);
  return 0;
}

}  // namespace
}  // namespace caudal::sim

int main(int argc, char** argv) {
  caudal::sim::Flags flags;
  caudal::CommandLine line("Simulates a cluster on the shipped scheduler");
  caudal::sim::parse(line, flags);
  if (const auto code = line.parse_or_say(argc, argv)) return *code;
  return caudal::sim::run(std::move(flags));
}
