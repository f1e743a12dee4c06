#include "worker/process/options.h"

#include <map>
#include <sstream>

#include "common/command_line.h"
#include "common/installation.h"

namespace caudal {
namespace {

const std::vector<std::pair<std::string, DTypeChoice>> kDTypes = {
    {"auto", DTypeChoice::kAuto}, {"bf16", DTypeChoice::kBF16}, {"f16", DTypeChoice::kF16}, {"f32", DTypeChoice::kF32}};

void add_model(CommandLine& line, WorkerOptions& options) {
  line.add("--model", options.model_dir, "Hugging Face model directory, or a GGUF file")
      .required()
      .transformed(from_installation)
      .existing_path();
  line.add_choice<LoadFormat>("--load-format", options.runner.load_format,
                              {{"safetensors", LoadFormat::kSafetensors}, {"dummy", LoadFormat::kDummy}},
                              "safetensors, or dummy: random weights of the configured shape");
  line.add_choice<DTypeChoice>("--dtype", options.runner.dtype, kDTypes,
                               "bf16, f16, f32, or auto: as stored where the backend computes in that, else f32");
  line.add_choice<DTypeChoice>(
      "--kv-cache-dtype", options.runner.kv_dtype, kDTypes,
      "Of the KV cache: that of the activations, or f16 beside f32. auto takes f16 on CPUs where "
      "the weights are stored in fewer bits than the f32 that is computed in");
  line.add_choice<std::optional<StoredFormat>>(
      "--quantize", options.runner.quantize,
      {{"none", std::nullopt}, {"q8_0", StoredFormat::kQ8_0}, {"q4_0", StoredFormat::kQ4_0}},
      "Round the matrices of a bf16, f16 or f32 model to blocks of q8_0 or q4_0 while it loads (the output matrix to "
      "q8_0 in any case). CPUs compute on the blocks, GPUs convert them");
  line.add("--max-context-tokens", options.runner.max_context_tokens,
           "Longest prompt and output; 0 = the model's, or what the KV cache holds")
      .within(0, 1 << 30);
}

void add_speculation(CommandLine& line, WorkerOptions& options) {
  line.add("--draft-model", options.runner.draft_model_dir,
           "A smaller model with the same vocabulary that proposes draft tokens")
      .existing_path();
  line.add("--max-draft-tokens", options.runner.max_draft_tokens,
           "Draft tokens of a sequence in a step, at the most; 0 = none")
      .within(0, kMaxDraftTokens);
}

void add_capacity(CommandLine& line, WorkerOptions& options) {
  RunnerOptions& runner = options.runner;
  line.add("--max-num-sequences", runner.max_num_sequences, "Sequences that run at a time").within(1, 1 << 16);
  line.add("--max-tokens-per-step", runner.max_tokens_per_step, "Tokens that one step may compute").within(1, 1 << 20);
  line.add("--memory-fraction", runner.kv.memory_fraction,
           "Share of the free memory for weights, workspace and KV cache together")
      .within(0.01, 1.0)
      .shown_as(fmt::format("{} on CPUs, {} on GPUs", kHostMemoryFraction, kGpuMemoryFraction));
  line.add("--ranks-on-host", runner.kv.ranks_on_host,
           "Ranks that share the host's memory; 0 = those of this mpirun. For several mpirun on one host")
      .within(0, 4096);
  line.add_bytes(
      "--kv-cache-bytes", [&runner](std::size_t bytes) { runner.kv.kv_cache_bytes = bytes; },
      "KV cache of a rank, as in 512MiB; instead of the share");
  line.add("--num-blocks", runner.kv.num_blocks, "KV blocks of 16 tokens; instead of the share")
      .within(1, 1 << 30)
      .shown_as("");
  line.add_bytes(
      "--swap-bytes", [&runner](std::size_t bytes) { runner.host_blocks.bytes = bytes; },
      "Host memory of a rank for the KV of preempted sequences, as in 4GiB; 0 = none; if not given, none on CPUs, "
      "and for a GPU as much as its KV cache, at most 4 GiB and an eighth of the host's free memory");
}

void add_process(CommandLine& line, WorkerOptions& options) {
  line.add("--coordinator", options.coordinator, "The coordinator's control endpoint, as in tcp://127.0.0.1:5570");
  const CommandLine::Option plan = line.add_switch(
      "--plan", options.plan_only,
      "Say what weights, workspace and KV cache would take and how long a context they leave room for; load "
      "nothing, and end. Without mpirun for all ranks of --tensor-parallel at once");
  line.add_bytes(
          "--gpu-memory", [&options](std::size_t bytes) { options.runner.assumed.device_bytes = bytes; },
          "With --plan and --device cuda: for GPUs like an H100 with so much free memory, as in 80GiB, one for each "
          "rank; "
          "none is needed here")
      .needs(plan);
  line.add_bytes(
          "--host-memory", [&options](std::size_t bytes) { options.runner.assumed.host_bytes = bytes; },
          "With --plan: for a host with so much free memory instead of this one")
      .needs(plan);
  line.add("--tensor-parallel", options.tensor_parallel_size, "Ranks per replica; the ranks of one mpirun are split")
      .within(1, 1024);
  line.add("--device", options.device, "What to compute on: cpu, or cuda where the build has it");
  line.add("--gpu", options.gpu, "GPU that all ranks of a host share; -1 = one for each").within(-1, 1023);
  line.add("--max-isa", options.max_isa,
           "Widest instruction set to use on a CPU: amx, avx512_vnni, avx512, avx2 or baseline. For comparisons, and "
           "for replicas on "
           "different CPUs that are to give the same bits")
      .shown_as("what it has");
  line.add_switch("--tf32", options.tf32, "Let f32 products on a GPU round their inputs to 19 bits");
  line.add_switch("--deterministic", options.deterministic,
                  "Answers on a GPU that do not depend on what else is served, nor on chunks and caches; slower. "
                  "CPUs always give such");
  line.add_switch("!--no-peer-memory", options.comm.peer_memory,
                  "Short all-reduces between the GPUs of a host over NCCL too");
  line.add("--threads", options.cores.num_threads,
           "Threads of a rank; 0 = the cores that the host's ranks may use (affinity, control group's quota), divided "
           "by "
           "them")
      .within(0, 4096);
  line.add("--first-core", options.cores.first_core,
           "Core of the host's first rank, counted one NUMA node after the other; -1 = the first allowed")
      .within(-1, 4096);
  line.add_switch("!--no-pin", options.cores.pin, "Leave threads where the system puts them");
  line.add("--curve-keys", options.curve_keys, "Key file of the cluster; needed off loopback").existing_file();
  line.add_seconds("--lease-s", options.timing.lease,
                   "Seconds of the coordinator's silence after which the worker ends")
      .within(0.1, 86400.0);
  line.add_seconds("--join-timeout-s", options.timing.join_timeout, "Seconds to wait for the coordinator at start")
      .within(0.1, 86400.0);
  line.add_log_level(options.log_level);
}

}  // namespace

Result<std::optional<std::string>> parse_worker_options(int argc, char** argv, WorkerOptions& options) {
  CommandLine line("Caudal worker: a rank of a replica; start it with mpirun.", "caudal-worker");
  line.add_version(CAUDAL_VERSION);
  line.add_config();
  add_process(line, options);
  add_model(line, options);
  add_capacity(line, options);
  add_speculation(line, options);
  Result<std::optional<std::string>> parsed = line.parse(argc, argv);
  if (!parsed || parsed.value()) return parsed;
  if (options.coordinator.empty() && !options.plan_only) return Error{"--coordinator is required", "coordinator"};
  if (options.runner.assumed.device_bytes > 0 && options.device != "cuda")
    return Error{"--gpu-memory is for --device cuda", "gpu-memory"};
  if (options.device != "cpu" && !line.given("--memory-fraction"))
    options.runner.kv.memory_fraction = kGpuMemoryFraction;
  return parsed;
}

}  // namespace caudal
