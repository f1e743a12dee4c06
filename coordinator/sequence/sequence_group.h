// SequenceGroup: how the sequences of one request belong together. The n sequences of a request are independent of each
// other; the beams of a search come and go together, and a choice among all of them says how each goes on. The
// scheduler asks these questions wherever that makes a difference; nothing else knows of beams. Kinds: groups.h of
// coordinator/scheduler. A kind without a state is there once, others are owned by their RequestState; engine thread.
#pragma once

#include <cstdint>
#include <span>

#include "common/types.h"

namespace caudal {

class Lifecycle;
class PlanBuilder;
class ReplicaState;
struct Sequence;

class SequenceGroup {
 public:
  virtual ~SequenceGroup() = default;

  // Sequences that enter a replica together, on as many slots.
  virtual std::int32_t num_together() const = 0;
  // Those that are preempted and fail together with this one, which is among them.
  virtual std::span<Sequence> bound_to(Sequence& sequence) = 0;
  // Whether a client waits to hear of this one.
  virtual bool is_choice(const Sequence& sequence) const = 0;
  // A client gives up a choice. Those that end by it; perhaps none.
  virtual std::span<Sequence> give_up(Sequence& choice) = 0;

  // This one begins to wait. The one that enters the queue now, if any: it stands there for all that are bound to it.
  virtual Sequence* enqueue(Sequence& sequence) = 0;
  // This one waits no longer. The one that leaves the queue for it, if any.
  virtual Sequence* dequeue(Sequence& sequence) = 0;

  // Whether the worker samples their tokens and appends them itself. Others are not speculated or swapped.
  virtual bool are_sampled() const = 0;

  // --- a plan ---
  // The first one has been admitted; the others of num_together() follow.
  virtual void admit_others(PlanBuilder& plan, Sequence& first) = 0;
  // Whether the sequence goes on from a sibling's tokens and blocks in its next step, so that enter() is to be called.
  virtual bool must_enter(const Sequence& sequence) const = 0;
  // Puts such a sequence into the plan. False: not into this one, or it would compute more than `max_tokens` tokens.
  virtual bool enter(PlanBuilder& plan, Sequence& sequence, std::int32_t max_tokens) = 0;
  // Whether one of them stands in the plan of this step, so that none may be preempted.
  virtual bool is_in_step(StepId step) const = 0;
  // What the worker has to know besides, when it gets the sequence and with its line of a plan.
  virtual void complete(const Sequence& sequence, NewSequence& line) const = 0;
  virtual void complete(const Sequence& sequence, ScheduledSequence& line, StepId step) = 0;

  // --- an answer ---
  virtual bool is_possible(const Sequence& sequence, const SequenceResult& result) const = 0;
  // The tokens of the result are the sequence's by now; says how it goes on.
  virtual void take(Lifecycle& life, ReplicaState& replica, Sequence& sequence, SequenceResult& result) = 0;

  // CHECKs what has to hold between calls.
  virtual void check_integrity() const = 0;
};

}  // namespace caudal
