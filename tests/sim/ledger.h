// Ledger: what every client was promised and has got, kept apart from the scheduler and compared with it.
// Invariants: requests are conserved and end once (S1), nothing follows an end or a cancel (S2), tokens are
// exactly those of the model, never again, never changed, also after a preemption (S8), counters are sums (S16),
// the queue keeps its bound (S14).
#pragma once

#include <map>
#include <set>

#include "coordinator/scheduler/scheduler.h"
#include "tests/sim/toy_model.h"

namespace caudal::sim {

struct Stream {
  RequestId request = 0;
  std::int32_t index = 0;
  Output expected;
  std::vector<TokenId> tokens;
  std::int32_t num_admissions = 0;
  bool accepted = false;
  bool ended = false;      // the last event came
  bool cancelled = false;  // by the client
  bool is_live() const { return accepted && !ended && !cancelled; }
};

struct Promise {
  Request request;  // as submitted
  std::vector<Stream> streams;
  std::size_t num_told = 0;  // log-probabilities of the prompt that came
  std::int32_t num_prompt_tokens() const { return static_cast<std::int32_t>(request.prompt.size()); }
};

class Ledger {
 public:
  Ledger(const SchedulerConfig& config, std::int32_t max_context_tokens, std::vector<std::int32_t> kv_windows = {0})
      : config_(config), max_context_tokens_(max_context_tokens), kv_windows_(std::move(kv_windows)) {}

  // Before and after Scheduler::submit.
  void submitted(Request request);
  void accepted(RequestId id, const SchedulerStats& before, const SchedulerStats& after);
  void cancelled(RequestId id);
  void cancelled(RequestId id, std::int32_t index);
  void received(const TokenEvent& event, Time now);

  // Plans may name a sequence anew only with all its tokens, and only so often: once, and once more for each of its
  // preemptions and for each of the `num_losses` of replicas so far. Called once the turn's events are out.
  const Stream& admitted(const NewSequence& sequence, std::int32_t num_losses);
  // A plan tells a beam of its next token.
  void went_on(SequenceId beam, TokenId token) { beam_tokens_.at(beam).push_back(token); }

  void check(const SchedulerStats& stats) const;

  // Digests of the salt and the first 16, 32 ... num_tokens tokens of a sequence: what may be cached of it.
  std::vector<std::uint64_t> prefixes(SequenceId sequence, std::int32_t num_tokens) const;
  // Whether the sequence has siblings, whose prompt it may share.
  bool may_fork(SequenceId sequence) const;

  const Promise& promise(RequestId id) const { return promises_.at(id); }
  const Promise& promise_of(SequenceId sequence) const { return promises_.at(by_sequence_.at(sequence)->request); }
  std::int32_t num_live() const { return static_cast<std::int32_t>(live_.size()); }
  // Sequences that the scheduler counts for a live stream: all beams stand for the first live choice.
  std::int32_t num_sequences(const Promise& promise, const Stream& stream) const;
  // Of live streams, in the order of their requests.
  template <typename Visit>
  void for_each_live(Visit visit) const {
    for (const auto& [id, index] : live_) visit(promises_.at(id), promises_.at(id).streams[index]);
  }
  std::int32_t max_admissions() const { return max_admissions_; }

 private:
  // No simulated worker is slower, so nobody is hopeless who has as much time.
  static constexpr Time kHopefulUs = 10'000;
  static constexpr Time kHopefulUsPerToken = 500;

  void close(Stream& stream) { live_.erase({stream.request, stream.index}); }

  SchedulerConfig config_;
  std::int32_t max_context_tokens_;
  std::vector<std::int32_t> kv_windows_;
  std::map<RequestId, Promise> promises_;
  std::map<SequenceId, Stream*> by_sequence_;  // ids are given in the order of acceptance; beams stand for the first
  std::map<SequenceId, std::vector<TokenId>> beam_tokens_;  // as plans told them
  std::set<std::pair<RequestId, std::int32_t>> live_;
  std::uint64_t num_accepted_ = 0;
  std::uint64_t num_prompt_tokens_ = 0;
  std::uint64_t num_tokens_received_ = 0;
  bool somebody_cancelled_ = false;
  std::int32_t max_admissions_ = 0;
};

}  // namespace caudal::sim
