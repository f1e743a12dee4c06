// engine_bench: what scheduler and runner reach without a network, against what the machine can do and
// against static batching, in one run. Prints a table; `engine_bench --help` lists the suites.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <span>

#include "common/command_line.h"
#include "tests/bench/inprocess.h"
#include "tests/bench/paired.h"

namespace caudal::bench {
namespace {

constexpr std::int32_t kMaxSequences = 256;
constexpr std::int32_t kMaxTokensPerStep = 2048;

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Parameters in matrix products. The head counts once per sampled token, the rest once per computed token.
struct Work {
  double layer_parameters = 0.0;
  double head_parameters = 0.0;
  double attention_width = 0.0;  // of all layers: heads * head_dim

  explicit Work(const ModelConfig& model) {
    const double hidden = static_cast<double>(model.hidden_size);
    for (const LayerConfig& layer : model.layers) {
      const double q = static_cast<double>(layer.num_heads * layer.head_dim);
      const double kv = static_cast<double>(layer.num_kv_heads * layer.head_dim);
      layer_parameters += hidden * (q + 2 * kv) + q * hidden + 3 * hidden * double(model.intermediate_size);
      attention_width += q;
    }
    head_parameters = hidden * static_cast<double>(model.vocab_size);
  }
  double decode_bytes() const { return 2.0 * (layer_parameters + head_parameters); }
  // Causal attention counts half of the square.
  double prefill_flops(double tokens) const {
    return 2.0 * layer_parameters * tokens + 2.0 * head_parameters + 2.0 * attention_width * tokens * tokens;
  }
};

RunReport run_fixed(InProcess& engine, std::int32_t count, std::int32_t prompt, std::int32_t output) {
  WorkloadOptions options;
  options.mean_prompt_tokens = prompt;
  options.mean_output_tokens = output;
  options.num_requests = count;
  return engine.run(make_workload(options).value(), {});
}

// Seconds per step of pure decoding: two runs that differ in the number of steps only.
double decode_step_seconds(InProcess& engine, std::int32_t count) {
  constexpr std::int32_t kPrompt = 16, kShort = 4, kLong = 36;
  const double brief = run_fixed(engine, count, kPrompt, kShort).seconds;
  const double lengthy = run_fixed(engine, count, kPrompt, kLong).seconds;
  return (lengthy - brief) / (kLong - kShort);
}

void decode(InProcess& engine, int repeats) {
  const Work work(engine.model());
  const BenchTensor yardstick(DType::kBF16, 1 << 14, 1 << 14);  // 512 MiB
  std::vector<double> single, batched, read;
  for (int i = 0; i < repeats; ++i) {
    read.push_back(static_cast<double>(yardstick.tensor.bytes()) / seconds_of([&] { read_all(yardstick.tensor); }));
    single.push_back(decode_step_seconds(engine, 1));
    batched.push_back(decode_step_seconds(engine, 32));
  }
  const double bandwidth = work.decode_bytes() / median(single);
  fmt::print("decode, 1 sequence      {:8.1f} tok/s  {:5.1f} GB/s of weights = {:.0f} % of {:.1f} GB/s read\n",
             1.0 / median(single), bandwidth * 1e-9, 100 * bandwidth / median(read), median(read) * 1e-9);
  fmt::print("decode, 32 sequences    {:8.1f} tok/s  = {:.1f} x one sequence\n", 32.0 / median(batched),
             32.0 * median(single) / median(batched));
}

void prefill(InProcess& engine, int repeats) {
  const Work work(engine.model());
  for (const std::int32_t tokens : {512, 2048}) {
    std::vector<double> seconds, peak;
    for (int i = 0; i < repeats; ++i) {
      peak.push_back(dnnl_peak().flops() / seconds_of([] { dnnl_peak().run(); }));
      seconds.push_back(run_fixed(engine, 1, tokens, 1).seconds);
    }
    const double flops = work.prefill_flops(tokens) / median(seconds);
    fmt::print("prefill, {:4} tokens     {:8.1f} tok/s  {:5.2f} TFLOP/s = {:.0f} % of {:.2f} oneDNN bf16\n", tokens,
               tokens / median(seconds), flops * 1e-12, 100 * flops / median(peak), median(peak) * 1e-12);
  }
}

void print_run(const char* name, const RunReport& report) {
  fmt::print("{:<40} {:8.1f} s {:9.1f} tok/s total {:8.1f} output, {:5} steps, batch {:5.1f}\n", name, report.seconds,
             report.total_tokens_per_s(), report.output_tokens_per_s(), report.num_steps, report.mean_batch);
}

WorkloadOptions exponential(std::int32_t count, std::int32_t cap) {
  WorkloadOptions options;
  options.lengths = "exponential";
  options.max_output_tokens = cap;
  options.num_requests = count;
  return options;
}

// Pads every request to the longest one there.
void pad(std::span<RequestShape> requests) {
  const auto longest = std::ranges::max_element(requests, {}, &RequestShape::num_output_tokens)->num_output_tokens;
  for (RequestShape& request : requests) request.padded_to = longest;
}

// As the continuous-batching benchmark of 2023 had it: batches of 4, every one padded to the longest of the
// whole set. All of its batches cost the same, so some are run and the rest is multiplied.
void static_literal(InProcess& engine, std::int32_t count) {
  constexpr std::int32_t kBatch = 4;
  std::vector<RequestShape> workload = make_workload(exponential(count, 1536)).value();
  const RunReport continuous = engine.run(workload, {});
  print_run("continuous, cap 1536", continuous);

  pad(workload);
  const RunReport one_batch = engine.run({workload.begin(), workload.begin() + kBatch}, {}, kBatch);
  print_run("static batch of 4, padded to the set", one_batch);
  const double seconds = one_batch.seconds * count / kBatch;
  fmt::print("continuous / static literal: {:.1f} x ({} requests; static {:.0f} s from one batch times {})\n",
             seconds / continuous.seconds, count, seconds, count / kBatch);
}

void static_fair(InProcess& engine, std::int32_t count) {
  constexpr std::int32_t kBatch = 32;
  std::vector<RequestShape> workload = make_workload(exponential(count, 512)).value();
  SchedulerConfig config;
  config.max_num_sequences = kBatch;
  const RunReport continuous = engine.run(workload, config);
  print_run("continuous, cap 512, at most 32", continuous);
  for (std::size_t i = 0; i < workload.size(); i += kBatch) {
    pad(std::span(workload).subspan(i, std::min<std::size_t>(kBatch, workload.size() - i)));
  }
  const RunReport fixed = engine.run(workload, config, kBatch);
  print_run("static batch of 32, padded to itself", fixed);
  fmt::print("continuous / static fair: {:.2f} x\n", fixed.seconds / continuous.seconds);
}

void paging(InProcess& engine, std::int32_t count) {
  WorkloadOptions options;
  options.lengths = "sharegpt";
  options.num_requests = count;
  const RunReport report = engine.run(make_workload(options).value(), {});
  print_run("sharegpt lengths", report);
  fmt::print("unused KV inside allocated blocks: {:.2f} %\n", 100 * report.unused_kv_share);
}

// Requests of 2,048 in and 128 out, a share of every prompt the same. With and without the cache take turns.
void prefix_cache(InProcess& engine, std::int32_t count, int repeats, const std::vector<int>& shares) {
  constexpr std::int32_t kPrompt = 2048, kOutput = 128;
  for (const std::int32_t percent : shares) {
    const RequestShape shape{
        .num_prompt_tokens = kPrompt, .num_output_tokens = kOutput, .num_shared_tokens = kPrompt * percent / 100};
    const std::vector<RequestShape> workload(static_cast<std::size_t>(count), shape);
    std::vector<double> with, without;
    for (int i = 0; i < repeats; ++i) {
      without.push_back(engine.run(workload, {.prefix_caching = false}).seconds);
      with.push_back(engine.run(workload, {}).seconds);
    }
    fmt::print("prefix cache, {:2} % shared: {:.2f} x ({:.1f} s against {:.1f} s without, {} requests)\n", percent,
               median(without) / median(with), median(with), median(without), count);
  }
}

// The first token of a prompt of 4,000 tokens, 3,800 of them computed before, against the cold one before it.
void first_token(InProcess& engine, int repeats) {
  const RequestShape shape{.num_prompt_tokens = 4000, .num_output_tokens = 1, .num_shared_tokens = 3800};
  std::vector<double> cold, cached;
  for (int i = 0; i < repeats; ++i) {
    const RunReport report = engine.run({shape, shape}, {}, 1);
    cold.push_back(report.first_token_s[0]);
    cached.push_back(report.first_token_s[1]);
  }
  fmt::print("first token of 4,000: {:.0f} ms cold, {:.0f} ms with 95 % cached = {:.1f} x lower\n", 1e3 * median(cold),
             1e3 * median(cached), median(cold) / median(cached));
}

// A pool that just suffices, and one of 5 % less, where preempted sequences are computed again or swapped. In turns.
void smaller_pool(InProcess& engine, std::int32_t count, int repeats) {
  WorkloadOptions options;
  options.lengths = "sharegpt";
  options.num_requests = count;
  const std::vector<RequestShape> workload = make_workload(options).value();
  const std::int32_t enough = engine.run(workload, {}).most_used_blocks;
  const std::int32_t less = enough * 95 / 100;
  RunReport full, again, swapped;  // the last ones
  std::vector<double> full_s, again_s, swapped_s;
  for (int i = 0; i < repeats; ++i) {
    full = engine.run(workload, {}, kAllAtOnce, {enough, false});
    again = engine.run(workload, {}, kAllAtOnce, {less, false});
    swapped = engine.run(workload, {}, kAllAtOnce, {less, true});
    full_s.push_back(full.seconds);
    again_s.push_back(again.seconds);
    swapped_s.push_back(swapped.seconds);
  }
  const auto print = [&](const char* name, const RunReport& report, const std::vector<double>& seconds) {
    fmt::print(
        "5 % of {} blocks less, {:<17}{:+6.1f} % throughput; {} preemptions, {} swapped back, {:+} of {} steps, "
        "{:+} of {} tokens computed\n",
        enough, name, 100 * (median(full_s) / median(seconds) - 1), report.num_preemptions, report.num_swapped_in,
        report.num_steps - full.num_steps, full.num_steps, report.num_computed - full.num_computed, full.num_computed);
  };
  print("computed again:", again, again_s);
  print("swapped:", swapped, swapped_s);
}

double percentile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

// 8 streams decode when a prompt of 2,048 tokens arrives. The target is `factor` times a quiet step, the variants
// take turns, and p99 is over all steps of all turns.
void inter_token(InProcess& engine, int repeats, double factor) {
  constexpr std::int32_t kStreams = 8, kQuiet = 40, kPrompt = 2048;
  SchedulerConfig whole, fixed, bounded;
  whole.chunked_prefill = false;
  fixed.max_tokens_per_step = 256;
  std::vector<double> quiet, unchunked, chunked, targeted;
  const auto append = [](std::vector<double>& all, const std::vector<double>& more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  double prefill_s = 0.0, fixed_s = 0.0;
  for (int i = 0; i < repeats; ++i) {
    const InProcess::Arrival at_once = engine.run_arrival(kStreams, kQuiet, kPrompt, whole);
    append(unchunked, at_once.prefill_ms);
    const InProcess::Arrival in_chunks = engine.run_arrival(kStreams, kQuiet, kPrompt, fixed);
    append(chunked, in_chunks.prefill_ms);
    for (const double ms : in_chunks.prefill_ms) fixed_s += ms * 1e-3;
    append(quiet, at_once.quiet_ms);
    append(quiet, in_chunks.quiet_ms);
    bounded.itl_target_us = static_cast<std::int64_t>(1000.0 * factor * median(quiet));
    const InProcess::Arrival held = engine.run_arrival(kStreams, kQuiet, kPrompt, bounded);
    append(targeted, held.prefill_ms);
    append(quiet, held.quiet_ms);
    for (const double ms : held.prefill_ms) prefill_s += ms * 1e-3;
  }
  const double alone = percentile(quiet, 0.99);
  const auto print = [&](const char* name, const std::vector<double>& ms) {
    fmt::print("{:<40} p50 {:8.1f} ms  p99 {:8.1f} ms  = {:5.2f} x none, {} steps\n", name, percentile(ms, 0.5),
               percentile(ms, 0.99), percentile(ms, 0.99) / alone, ms.size());
  };
  print("8 streams, no prompt", quiet);
  print("2,048 tokens in one step", unchunked);
  print("fixed budget of 256 tokens", chunked);
  print(fmt::format("--itl-target-ms {:.1f} ({:.2f} x a quiet step)", 1e-3 * double(bounded.itl_target_us), factor)
            .c_str(),
        targeted);
  fmt::print("the prompt's first token after {:.1f} s; with the fixed budget {:.1f} s\n", prefill_s / repeats,
             fixed_s / repeats);
}

}  // namespace
}  // namespace caudal::bench

int main(int argc, char** argv) {
  using namespace caudal::bench;
  std::string suite = "decode";
  std::string model = CAUDAL_SOURCE_DIR "/tests/bench/models/qwen2.5-0.5b";
  bool checkpoint = false;
  int count = 128;
  int repeats = 5;
  std::int64_t num_blocks = 20000;
  std::vector<int> shares{0, 25, 50, 75};
  double itl_factor = 1.4;
  WorkloadOptions custom;
  caudal::CommandLine line("Benchmarks of scheduler and runner in one process");
  line.add("suite", suite,
           "decode, prefill, static-literal, static-fair, paging, prefix-cache, first-token, pool, itl or throughput")
      .required();
  line.add("--model", model, "Model directory; weights are random unless --checkpoint");
  line.add_switch("--checkpoint", checkpoint, "Load the weights");
  line.add("--num-prompts", count, "Requests");
  line.add("--repeats", repeats, "Turns of measurement and yardstick; medians are printed");
  line.add("--itl-factor", itl_factor, "itl: the target, in quiet steps");
  line.add("--shared", shares, "prefix-cache: percent of a prompt that all have in common").within(0, 99);
  line.add("--num-blocks", num_blocks, "KV blocks");
  line.add("--lengths", custom.lengths, "throughput: fixed, uniform, exponential or sharegpt");
  line.add("--input-len", custom.mean_prompt_tokens, "throughput: prompt tokens");
  line.add("--output-len", custom.mean_output_tokens, "throughput: output tokens");
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // lines show at once in a file, too
  if (const auto code = line.parse_or_say(argc, argv)) return *code;

  const auto format = checkpoint ? caudal::LoadFormat::kSafetensors : caudal::LoadFormat::kDummy;
  InProcess engine(model, format, kMaxSequences, kMaxTokensPerStep, num_blocks);
  run_fixed(engine, 1, 64, 4);  // touches every weight once
  if (suite == "decode") {
    decode(engine, repeats);
  } else if (suite == "prefill") {
    prefill(engine, repeats);
  } else if (suite == "static-literal") {
    static_literal(engine, count);
  } else if (suite == "static-fair") {
    static_fair(engine, count);
  } else if (suite == "paging") {
    paging(engine, count);
  } else if (suite == "prefix-cache") {
    prefix_cache(engine, count, repeats, shares);
  } else if (suite == "first-token") {
    first_token(engine, repeats);
  } else if (suite == "pool") {
    smaller_pool(engine, count, repeats);
  } else if (suite == "itl") {
    inter_token(engine, repeats, itl_factor);
  } else if (suite == "throughput") {
    custom.num_requests = count;
    const auto workload = make_workload(custom);
    if (!workload.ok()) return 1;
    print_run(custom.lengths.c_str(), engine.run(workload.value(), {}));
  } else {
    fmt::print(stderr, "unknown suite {}\n", suite);
    return 1;
  }
  return 0;
}
