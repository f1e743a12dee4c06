// Request: what a client asked, after the gateway has checked, templated and tokenized it.
// TokenEvent: what goes back. Plain data between the gateway threads and the engine thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/types.h"
#include "coordinator/request/beam_params.h"

namespace caudal {

// Monotonic microseconds. The scheduler takes the time as an argument; it never asks for it.
using Time = std::int64_t;

struct Request {
  RequestId id = 0;
  ModelId model = 0;
  std::vector<TokenId> prompt;     // not empty
  GenerationParams params;         // the seed is set; sequence i samples with sequence_seed(seed, i)
  std::int32_t num_sequences = 1;  // n: independent continuations of the prompt; of a beam search the best
  std::optional<BeamParams> beam;  // search instead of sampling, answered at its end; at least n wide
  std::int32_t priority = 0;       // lower runs first
  std::string tenant;              // who shares the cluster with others; "" is one, too
  std::string cache_salt;          // only requests of one salt share cached prefixes
  std::optional<Time> deadline;    // of the first token; what cannot start in time for it is refused
  Time ttft_target_us = 0;         // from arrival to the first token; orders the queue. 0: none
  Time tpot_target_us = 0;         // between two tokens; bounds the steps it is in. 0: none
  Time arrival = 0;                // at the door of the gateway, which alone writes it

  // Sequences that run for it.
  std::int32_t num_running() const { return beam ? beam->width : num_sequences; }
};

// SplitMix64 step, so that the n sequences of one seed differ and sequence 0 is the plain seed.
constexpr std::uint64_t sequence_seed(std::uint64_t seed, std::int32_t index) {
  if (index == 0) return seed;
  std::uint64_t z = seed + 0x9e3779b97f4a7c15ULL * static_cast<std::uint64_t>(index);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

enum class RejectReason : std::uint8_t {
  kNone,
  kTooLong,        // can never fit the context or the KV pool: the client's mistake (400)
  kTooMany,        // n is more than may ever wait: the client's mistake (400)
  kQueueFull,      // 429
  kNoReplica,      // 503
  kDeadline,       // the deadline passed while it waited (503)
  kHopeless,       // the deadline will pass before the first token, by the measured rates (503)
  kWorkerFault,    // the step of this sequence failed: NaN logits (500)
  kUnknownTenant,  // 403
};
inline constexpr std::size_t kNumRejectReasons = 9;

// As in metrics and in /load; "" for kNone.
constexpr std::string_view reason_name(RejectReason reason) {
  constexpr std::array<std::string_view, kNumRejectReasons> kNames{"",
                                                                   "too_long",
                                                                   "too_many",
                                                                   "queue_full",
                                                                   "no_replica",
                                                                   "deadline",
                                                                   "deadline_unreachable",
                                                                   "worker_fault",
                                                                   "unknown_tenant"};
  return kNames[static_cast<std::size_t>(reason)];
}

// Something new about one sequence of a request. The last one has finish_reason != kNone.
struct TokenEvent {
  RequestId request_id = 0;
  std::int32_t sequence_index = 0;
  ReplicaId replica = 0;  // that computed the tokens
  std::vector<TokenId> tokens;
  std::vector<std::vector<TokenLogprob>> logprobs;  // per token, or empty
  FinishReason finish_reason = FinishReason::kNone;
  RejectReason reject = RejectReason::kNone;  // set with kError
  std::int32_t num_cached_tokens = 0;         // of the prompt, at the first event
  Time queue_us = 0;                          // from arrival to the first plan, at the first event
  std::int32_t num_drafted = 0;               // draft tokens in the step that this event comes from
  std::int32_t num_accepted = 0;              // of these, that were right
  // Of the request's prompt, where asked for: of its tokens but the first, in order; each once, whichever sequence
  // brings it, and all of them before any token.
  std::vector<std::vector<TokenLogprob>> prompt_logprobs{};
};

}  // namespace caudal
