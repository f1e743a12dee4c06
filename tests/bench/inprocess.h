// A cluster in one process and one thread: the scheduler and one runner, no network, no gateway. What is
// measured here is the ceiling for what the same machine can serve.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/scheduler/scheduler.h"
#include "tests/bench/workload.h"
#include "worker/runner/runner.h"

namespace caudal::bench {

struct RunReport {
  double seconds = 0.0;
  std::int64_t num_prompt_tokens = 0;
  std::int64_t num_output_tokens = 0;  // asked for; padding is not counted
  std::int64_t num_steps = 0;
  double mean_batch = 0.0;       // sequences per step
  double unused_kv_share = 0.0;  // of the tokens that allocated blocks could hold, averaged over steps
  std::int32_t most_used_blocks = 0;
  std::uint64_t num_preemptions = 0;
  std::uint64_t num_swapped_in = 0;   // sequences that came back from host memory
  std::int64_t num_computed = 0;      // tokens, those computed again included
  std::vector<double> first_token_s;  // per request, from its submission

  double output_tokens_per_s() const { return static_cast<double>(num_output_tokens) / seconds; }
  double total_tokens_per_s() const { return static_cast<double>(num_prompt_tokens + num_output_tokens) / seconds; }
};

// Of the runner's blocks.
struct Pool {
  std::int32_t num_blocks = 0;  // 0: all
  bool swaps = true;            // preempted sequences to host memory
};

inline constexpr std::size_t kAllAtOnce = std::numeric_limits<std::size_t>::max();

class InProcess {
 public:
  // All cores of the machine in one rank, not pinned: the threads of a yardstick in the same process would
  // inherit that. Ends the program when the model cannot be loaded.
  InProcess(const std::string& model_dir, LoadFormat format, std::int32_t max_num_sequences,
            std::int32_t max_tokens_per_step, std::int64_t num_blocks);

  // With empty tables and caches. Padding is generated, but only what was asked for counts. `batch_size` requests
  // arrive together, the next ones when all of these have ended: that is static batching.
  RunReport run(const std::vector<RequestShape>& workload, const SchedulerConfig& config,
                std::size_t batch_size = kAllAtOnce, const Pool& pool = {});

  // `num_streams` sequences decode; when all of them do, a prompt arrives. Milliseconds of every step: before, and
  // from there until the prompt's first token. As many steps before as `num_quiet`.
  struct Arrival {
    std::vector<double> quiet_ms;
    std::vector<double> prefill_ms;
  };
  Arrival run_arrival(std::int32_t num_streams, std::int32_t num_quiet, std::int32_t num_prompt_tokens,
                      const SchedulerConfig& config);

  const ModelConfig& model() const { return model_; }

 private:
  Request make_request(const RequestShape& shape, std::size_t index) const;

  ModelConfig model_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Communicator> group_;
  std::unique_ptr<Runner> runner_;
  Epoch next_epoch_ = 1;
};

}  // namespace caudal::bench
