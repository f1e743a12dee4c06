#include "worker/options.h"

#include <CLI/CLI.hpp>

#include <map>
#include <sstream>

#include "common/installation.h"

namespace caudal {
namespace {

const std::map<std::string, LogLevel> kLogLevels = {{"debug", LogLevel::kDebug},
                                                    {"info", LogLevel::kInfo},
                                                    {"warning", LogLevel::kWarning},
                                                    {"error", LogLevel::kError}};
const std::map<std::string, DTypeChoice> kDTypes = {
    {"auto", DTypeChoice::kAuto}, {"bf16", DTypeChoice::kBF16}, {"f16", DTypeChoice::kF16}, {"f32", DTypeChoice::kF32}};
const std::map<std::string, LoadFormat> kLoadFormats = {{"safetensors", LoadFormat::kSafetensors},
                                                        {"dummy", LoadFormat::kDummy}};

template <typename T>
void add_choice(CLI::App& app, const std::string& flag, T& value, const std::map<std::string, T>& choices,
                const std::string& standard, const std::string& help) {
  app.add_option(flag, value, help)->transform(CLI::CheckedTransformer(choices).description(""))->default_str(standard);
}

void add_seconds(CLI::App& app, const std::string& flag, std::chrono::milliseconds& value, const std::string& help) {
  const auto standard = static_cast<double>(value.count()) / 1000.0;
  app.add_option_function<double>(
         flag,
         [&value](double seconds) { value = std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000.0)); },
         help)
      ->check(CLI::Range(0.1, 86400.0))
      ->default_str(fmt::format("{}", standard));
}

void add_model(CLI::App& app, WorkerOptions& options) {
  app.add_option("--model", options.model_dir, "Hugging Face model directory")
      ->required()
      ->transform(from_installation)
      ->check(CLI::ExistingDirectory);
  add_choice(app, "--load-format", options.runner.load_format, kLoadFormats, "safetensors",
             "safetensors, or dummy: random weights of the configured shape");
  add_choice(app, "--dtype", options.runner.dtype, kDTypes, "auto",
             "bf16, f16, f32, or auto: as stored, refused when the backend does not compute in that");
  app.add_option("--max-context-tokens", options.runner.max_context_tokens,
                 "Longest prompt and output; 0 = the model's, or what the KV cache holds")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
}

void add_speculation(CLI::App& app, WorkerOptions& options) {
  app.add_option("--draft-model", options.runner.draft_model_dir,
                 "Directory of a smaller model with the same vocabulary that guesses tokens ahead")
      ->check(CLI::ExistingDirectory);
  app.add_option("--max-draft-tokens", options.runner.max_draft_tokens,
                 "Tokens guessed ahead for a sequence in a step, at the most; 0 = none")
      ->check(CLI::Range(0, kMaxDraftTokens))
      ->capture_default_str();
}

void add_capacity(CLI::App& app, WorkerOptions& options) {
  RunnerOptions& runner = options.runner;
  app.add_option("--max-num-sequences", runner.max_num_sequences, "Sequences that run at a time")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app.add_option("--max-tokens-per-step", runner.max_tokens_per_step, "Tokens that one step may compute")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--memory-fraction", runner.kv.memory_fraction,
                 "Share of the free memory for weights, workspace and KV cache together")
      ->check(CLI::Range(0.01, 1.0))
      ->default_str(fmt::format("{} on CPUs, {} on GPUs", kHostMemoryFraction, kGpuMemoryFraction));
  app.add_option("--ranks-on-host", runner.kv.ranks_on_host,
                 "Ranks that share the host's memory; 0 = those of this mpirun. For several mpirun on one host")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app.add_option("--kv-cache-bytes", runner.kv.kv_cache_bytes, "KV cache of a rank, as in 512MiB; instead of the share")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--num-blocks", runner.kv.num_blocks, "KV blocks of 16 tokens; instead of the share")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--swap-bytes", runner.swap.bytes,
                 "Host memory of a rank for the KV of preempted sequences, as in 4GiB; 0 = none; if not given, as much as the "
                 "KV cache, at most 4 GiB and an eighth of the host's free memory")
      ->transform(CLI::AsSizeValue(false));
}

void add_process(CLI::App& app, WorkerOptions& options) {
  app.add_option("--coordinator", options.coordinator, "The coordinator's control endpoint, as in tcp://127.0.0.1:5570")
      ->required();
  app.add_option("--tensor-parallel", options.tensor_parallel_size, "Ranks per replica; the ranks of one mpirun are split")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--device", options.device, "What to compute on: cpu, or cuda where the build has it")
      ->capture_default_str();
  app.add_option("--gpu", options.gpu, "GPU that all ranks of a host share; -1 = one for each")
      ->check(CLI::Range(-1, 1023))
      ->capture_default_str();
  app.add_flag("--tf32", options.tf32, "Let f32 products on a GPU round their inputs to 19 bits");
  app.add_flag("!--no-peer-memory", options.comm.peer_memory,
               "Short all-reduces between the GPUs of a host over NCCL too");
  app.add_option("--threads", options.cores.num_threads, "Threads of a rank; 0 = the host's cores divided by its ranks")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app.add_option("--first-core", options.cores.first_core, "Core of the host's first rank; -1 = the first allowed")
      ->check(CLI::Range(-1, 4096))
      ->capture_default_str();
  app.add_flag("!--no-pin", options.cores.pin, "Leave threads where the system puts them");
  app.add_option("--curve-keys", options.curve_keys, "Key file of the cluster; needed off loopback")
      ->check(CLI::ExistingFile);
  add_seconds(app, "--lease-s", options.timing.lease, "Seconds of the coordinator's silence after which the worker ends");
  add_seconds(app, "--join-timeout-s", options.timing.join_timeout, "Seconds to wait for the coordinator at start");
  add_choice(app, "--log-level", options.log_level, kLogLevels, "info", "debug, info, warning or error");
}

}  // namespace

Result<std::optional<std::string>> parse_worker_options(int argc, char** argv, WorkerOptions& options) {
  CLI::App app("Caudal worker: a rank of a replica; start it with mpirun.", "caudal-worker");
  app.set_version_flag("--version", CAUDAL_VERSION);
  app.set_config("--config", "", "TOML file with the same names as these options");
  app.allow_config_extras(CLI::config_extras_mode::error);
  add_process(app, options);
  add_model(app, options);
  add_capacity(app, options);
  add_speculation(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream said, wrong;
    if (app.exit(error, said, wrong) == 0) return std::optional(said.str());
    return Error{error.what(), "flags"};
  }
  if (options.device != "cpu" && app.count("--memory-fraction") == 0)
    options.runner.kv.memory_fraction = kGpuMemoryFraction;
  return std::optional<std::string>();
}

}  // namespace caudal
