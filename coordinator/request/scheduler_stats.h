// What the scheduler says about itself and its replicas, for metrics, /load and tests. Plain data.
#pragma once

#include <array>

#include "common/types.h"

namespace caudal {

// Sequences, unless said otherwise. accepted = waiting + running + leaving + finished + cancelled + failed.
struct SchedulerStats {
  std::int32_t num_waiting = 0;
  std::int32_t num_running = 0;
  std::int32_t num_leaving = 0;  // preempted, its last plans not answered yet
  std::uint64_t num_accepted = 0;
  std::uint64_t num_finished = 0;
  std::uint64_t num_cancelled = 0;
  std::uint64_t num_failed = 0;  // ended with kError
  std::uint64_t num_preemptions = 0;
  std::uint64_t num_prompt_tokens = 0;     // of accepted requests
  std::uint64_t num_generated_tokens = 0;  // in events
};

// One applied step of a replica.
struct StepSample {
  std::int64_t compute_us = 0;            // as the worker measured it
  std::int32_t num_sequences = 0;         // the batch
  std::int32_t num_prompt_tokens = 0;     // computed for prompts
  std::int32_t num_generated_tokens = 0;  // sampled and kept
  std::int32_t num_drafts = 0;            // sequences with draft tokens
  std::int32_t num_draft_tokens = 0;
  std::array<std::int32_t, kMaxDraftTokens> num_accepted_at{};  // accepted draft tokens, by position in the draft
};

struct ReplicaStats {
  bool alive = false;
  Epoch epoch = 0;
  std::int32_t num_running = 0;
  std::int32_t num_plans_in_flight = 0;
  std::int32_t num_blocks = 0;
  std::int32_t num_used_blocks = 0;    // held by sequences
  std::int32_t num_cached_blocks = 0;  // free, with content that can be found
  std::int32_t num_kv_tokens = 0;      // computed, in used blocks of running sequences
  std::uint64_t num_preemptions = 0;
  std::uint64_t num_tokens_computed = 0;
  std::uint64_t num_prompt_tokens_computed = 0;  // of these; computed again after a preemption counts again
  std::uint64_t num_prefix_tokens_queried = 0;   // of sequences at each admission
  std::uint64_t num_prefix_tokens_hit = 0;       // of these, found in the prefix cache
  std::int32_t num_host_blocks = 0;              // for the KV of preempted sequences
  std::int32_t num_used_host_blocks = 0;         // with something in them, or on its way
  std::int32_t num_arriving = 0;                 // running sequences that wait for blocks from there
  std::int32_t num_transfers = 0;                // between device and host memory, that have not ended
  std::uint64_t num_sequences_to_host = 0;       // preempted ones that kept blocks there
  std::uint64_t num_sequences_from_host = 0;     // that were admitted with blocks from there
  std::uint64_t num_blocks_to_host = 0;
  std::uint64_t num_blocks_from_host = 0;
  std::int64_t decode_us = 0;        // a step of one sequence, measured; 0: not yet
  std::int64_t prompt_token_ns = 0;  // one more prompt token in a step, measured; 0: not yet
};

}  // namespace caudal
