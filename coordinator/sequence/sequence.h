// Sequence: one stream of tokens of a request. It has no phase: a step hands out the difference between
// what is known and what is computed, be it a prompt, a token, or everything again after a preemption.
// Owned by its RequestState, which the Scheduler owns; others hold its id. Engine thread only.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include <boost/container/small_vector.hpp>

#include "common/mutation.h"
#include "coordinator/kv/kv_manager.h"
#include "coordinator/policy/draft_length.h"
#include "coordinator/policy/queue_policy.h"
#include "coordinator/policy/tenants.h"
#include "coordinator/request/request.h"
#include "coordinator/sequence/sequence_group.h"

namespace caudal {

struct RequestState;

//            admitted               finished, cancelled
//   kWaiting ------> kRunning ---------------------------------> kEnded
//      ^                | out of blocks, replica lost              ^
//      |                v                                          | finished by a plan in flight, cancelled
//      +----------- kLeaving --------------------------------------+
//        its last plan is answered                    kWaiting -> kEnded: cancelled, expired, too long
enum class SequenceState : std::uint8_t { kWaiting, kRunning, kLeaving, kEnded };

// What a sequence has on a replica; empty elsewhere. Without plans in flight the last three numbers are 0.
struct Residence {
  ReplicaId replica = 0;
  SlotId slot = kNoSlot;          // kNoSlot once given back, while plans in flight still name the blocks
  std::int32_t token_limit = 0;   // prompt and output never get longer here
  std::int32_t num_computed = 0;  // answered by the worker
  std::int32_t num_plans_in_flight = 0;
  std::int32_t num_tokens_in_flight = 0;      // given out to them
  std::int32_t num_new_tokens_in_flight = 0;  // the most they can sample
  bool is_sent = false;                       // the worker has a sequence in the slot
  BlockTable table;
  TransferId arrives = 0;  // the transfer that brings some of its blocks: nothing is computed before its end

  bool is_arriving() const { return arrives != 0; }
};

// There are more of them than a cache holds: what every step reads stands first, in two cache lines.
struct alignas(64) Sequence {
  static constexpr std::size_t kHotBytes = 128;

  SequenceId id = 0;
  RequestState* request = nullptr;
  std::vector<TokenId> tokens;  // prompt, then generated
  Time tpot_target_us = 0;      // the request's
  std::int32_t index = 0;       // in the request
  SequenceState state = SequenceState::kWaiting;
  bool started = false;    // has been admitted before
  bool announced = false;  // its first event has been sent
  Residence residence;

  // --- what only changes of its state read ---
  QueueKey key;
  PrefixHashes hashes;
  DraftHistory drafts;
  std::int32_t num_preemptions = 0;
  bool had_turn = false;               // in the waiting queue; its prompt is charged to the tenant
  bool in_time = true;                 // the target for the first token can still be met
  Time queue_us = 0;                   // from arrival to the first plan; sent with the first event
  std::int32_t num_cached_tokens = 0;  // of the prompt, at the first admission; sent with the first event

  // When it has to be looked at if it has not started: after this it is too late for the target or the deadline.
  std::optional<Time> alarm() const;

  SequenceGroup& group() const;
  bool is_running() const { return state == SequenceState::kRunning; }
  bool must_tell_prompt() const;
  std::int32_t num_tokens() const { return static_cast<std::int32_t>(tokens.size()); }

  // The most that can be known and computed once every plan in flight is answered. The very last token
  // of a sequence is never computed: nothing is sampled from it.
  std::int32_t max_known() const { return num_tokens() + residence.num_new_tokens_in_flight; }
  std::int32_t num_uncomputed() const { return num_tokens() - residence.num_computed; }
  std::int32_t max_computed() const { return residence.num_computed + residence.num_tokens_in_flight; }
  std::int32_t num_plannable() const {
    if (MUTANT(scheduled_before_arrival, residence.is_arriving(), false)) return 0;
    return std::min(max_known(), residence.token_limit - 1) - max_computed();
  }
};

// Its prompt has moved into the sequences' tokens. It stays where it is: others point at it and at its sequences.
struct alignas(64) RequestState {
  Tenant* tenant = nullptr;
  SequenceGroup* group = nullptr;  // how the sequences belong together
  std::int32_t num_prompt_tokens = 0;
  std::int32_t num_held = 0;  // sequences that have not ended, or that plans in flight still name
  // Tokens of the prompt whose log-probabilities the client has; of the first there is none. All: it wants none.
  std::int32_t num_told = 0;
  bool started = false;  // one of them has been admitted before
  Request request;
  Time best_case_us = 0;  // to the first token, on a replica with nothing else to do
  boost::container::small_vector<Sequence, 1> sequences;
  std::unique_ptr<SequenceGroup> own_group;  // of a kind that remembers something
};

inline SequenceGroup& Sequence::group() const { return *request->group; }

inline bool Sequence::must_tell_prompt() const { return request->num_told < request->num_prompt_tokens; }

inline std::optional<Time> Sequence::alarm() const {
  const Request& asked = request->request;
  if (started) return std::nullopt;
  if (in_time && asked.ttft_target_us > 0) {
    const Time due = asked.arrival + asked.ttft_target_us;
    return std::min(due, asked.deadline.value_or(due)) - request->best_case_us;
  }
  if (!asked.deadline) return std::nullopt;
  return *asked.deadline - request->best_case_us;
}

}  // namespace caudal
