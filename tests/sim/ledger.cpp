#include "tests/sim/ledger.h"

#include "common/check.h"

namespace caudal::sim {

void Ledger::submitted(Request request) {
  Promise promise;
  for (std::int32_t index = 0; index < request.num_sequences; ++index) {
    Stream& stream = promise.streams.emplace_back();
    stream.request = request.id;
    stream.index = index;
  }
  promise.request = std::move(request);
  const RequestId id = promise.request.id;
  CHECK(promises_.emplace(id, std::move(promise)).second);
}

void Ledger::accepted(RequestId id, const SchedulerStats& before, const SchedulerStats& after) {
  Promise& promise = promises_.at(id);
  const Request& request = promise.request;
  const std::uint64_t num_new = after.num_accepted - before.num_accepted;
  const bool is_known = !config_.tenants.only_known || config_.tenants.weights.contains(request.tenant);
  CHECK_MSG(is_known || num_new == 0, "an unknown tenant was let in");
  if (num_new == 0) {
    CHECK_MSG(before.num_waiting == after.num_waiting, "a refused request was kept");
    CHECK_MSG(std::ranges::all_of(promise.streams, &Stream::ended), "a refusal was not told");
    return;
  }
  CHECK_MSG(num_new == static_cast<std::uint64_t>(request.num_running()), "accepted in part");
  CHECK_MSG(before.num_waiting + request.num_running() <= config_.max_waiting, "the queue is too long");
  num_prompt_tokens_ += request.prompt.size();
  std::vector<Output> expected = expected_outputs(request, max_context_tokens_, kv_windows_);
  for (Stream& stream : promise.streams) {
    stream.accepted = true;
    stream.expected = std::move(expected[static_cast<std::size_t>(stream.index)]);
    live_.emplace(id, stream.index);
  }
  for (std::int32_t index = 0; index < request.num_running(); ++index) {
    by_sequence_[++num_accepted_] = &promise.streams[request.beam ? 0 : static_cast<std::size_t>(index)];
  }
}

void Ledger::cancelled(RequestId id) {
  const auto found = promises_.find(id);
  if (found == promises_.end()) return;
  for (Stream& stream : found->second.streams) cancelled(id, stream.index);
}

void Ledger::cancelled(RequestId id, std::int32_t index) {
  const auto found = promises_.find(id);
  if (found == promises_.end() || index < 0 || index >= std::ssize(found->second.streams)) return;
  Stream& stream = found->second.streams[index];
  stream.cancelled = true;
  somebody_cancelled_ = true;
  close(stream);
}

// Each once, whichever sequence they come with, and before any token. What came with one that was cancelled is lost.
static void take_scores(Promise& promise, const TokenEvent& event) {
  if (std::ranges::any_of(promise.streams, &Stream::cancelled)) return;
  CHECK_MSG(are_next_scores(promise.request, promise.num_told, event.prompt_logprobs), "wrong scores of a prompt");
  promise.num_told += event.prompt_logprobs.size();
  CHECK_MSG(event.tokens.empty() || promise.num_told == expected_scores(promise.request).size(),
            "tokens before the prompt is told");
}

void Ledger::received(const TokenEvent& event, Time now) {
  Promise& promise = promises_.at(event.request_id);
  Stream& stream = promise.streams.at(static_cast<std::size_t>(event.sequence_index));
  CHECK_MSG(!stream.cancelled, "an event after the cancel");
  CHECK_MSG(!stream.ended, "an event after the end");
  stream.ended = event.finish_reason != FinishReason::kNone;
  if (!stream.accepted) {
    CHECK_MSG(event.tokens.empty() && event.reject != RejectReason::kNone, "tokens of a refused request");
    return;
  }
  take_scores(promise, event);
  CHECK(!event.tokens.empty() || !event.prompt_logprobs.empty() || event.finish_reason == FinishReason::kError);
  num_tokens_received_ += event.tokens.size();
  stream.tokens.insert(stream.tokens.end(), event.tokens.begin(), event.tokens.end());
  const auto& expected = stream.expected.tokens;
  CHECK_MSG(stream.tokens.size() <= expected.size() &&
                std::equal(stream.tokens.begin(), stream.tokens.end(), expected.begin()),
            "wrong tokens");
  if (!stream.ended) return;
  close(stream);
  if (event.reject == RejectReason::kDeadline) {
    CHECK_MSG(stream.tokens.empty() && stream.num_admissions == 0, "refused after its start");
    CHECK_MSG(promise.request.deadline.has_value(), "refused for a deadline that nobody gave");
    CHECK_MSG(*promise.request.deadline < now, "refused before its deadline");
  } else if (event.reject == RejectReason::kHopeless) {
    CHECK_MSG(stream.tokens.empty() && stream.num_admissions == 0, "refused after its start");
    const Time best_case = kHopefulUs + kHopefulUsPerToken * promise.num_prompt_tokens();
    CHECK_MSG(now + best_case > promise.request.deadline.value(), "refused though there is time enough");
  } else if (event.reject != RejectReason::kTooLong && event.reject != RejectReason::kNoReplica) {
    CHECK_MSG(event.finish_reason == stream.expected.finish_reason, "wrong end");
    CHECK_MSG(stream.tokens.size() == expected.size(), "ended too early");
  }
}

const Stream& Ledger::admitted(const NewSequence& sequence, std::int32_t num_losses) {
  const auto found = by_sequence_.find(sequence.sequence_id);
  CHECK_MSG(found != by_sequence_.end(), "a sequence that nobody asked for");
  Stream& stream = *found->second;
  const Promise& promise = promises_.at(stream.request);
  const Request& request = promise.request;
  CHECK_MSG(!std::ranges::all_of(promise.streams, &Stream::cancelled), "a cancelled sequence was admitted");
  CHECK(sequence.num_prompt_tokens == std::ssize(request.prompt) && sequence.is_beam == request.beam.has_value());
  if (request.beam) {
    CHECK(std::equal(request.prompt.begin(), request.prompt.end(), sequence.tokens.begin()));
    beam_tokens_[sequence.sequence_id] = sequence.tokens;
    for (Stream& choice : promises_.at(stream.request).streams) ++choice.num_admissions;
    return stream;
  }
  CHECK_MSG(!stream.cancelled, "a cancelled sequence was admitted");
  CHECK_MSG(sequence.tokens.size() == request.prompt.size() + stream.tokens.size() &&
                std::equal(request.prompt.begin(), request.prompt.end(), sequence.tokens.begin()) &&
                std::equal(stream.tokens.rbegin(), stream.tokens.rend(), sequence.tokens.rbegin()),
            "resumes with other tokens than it has");
  max_admissions_ = std::max(max_admissions_, ++stream.num_admissions);
  CHECK_MSG(stream.num_admissions <= 1 + config_.max_preemptions + num_losses, "preempted more often than it may be");
  return stream;
}

std::vector<std::uint64_t> Ledger::prefixes(SequenceId sequence, std::int32_t num_tokens) const {
  const Stream& stream = *by_sequence_.at(sequence);
  const Request& request = promises_.at(stream.request).request;
  std::vector<TokenId> tokens = request.prompt;
  if (request.beam) {
    tokens = beam_tokens_.at(sequence);
  } else {
    tokens.insert(tokens.end(), stream.expected.tokens.begin(), stream.expected.tokens.end());
  }
  std::uint64_t digest = request.cache_salt.size();
  std::vector<std::uint64_t> digests;
  for (std::int32_t i = 0; i < num_tokens; ++i) {
    digest = mix(digest, tokens.at(i));
    if ((i + 1) % kBlockSize == 0) digests.push_back(digest);
  }
  return digests;
}

bool Ledger::may_fork(SequenceId sequence) const { return promise_of(sequence).request.num_running() > 1; }

std::int32_t Ledger::num_sequences(const Promise& promise, const Stream& stream) const {
  if (!promise.request.beam) return 1;
  const auto first = std::ranges::find_if(promise.streams, &Stream::is_live);
  return &*first == &stream ? promise.request.beam->width : 0;
}

// The scheduler also counts tokens of events that a client did not wait for.
void Ledger::check(const SchedulerStats& stats) const {
  CHECK_MSG(stats.num_accepted == num_accepted_, "accepted sequences are miscounted");
  CHECK(stats.num_prompt_tokens == num_prompt_tokens_);
  CHECK_MSG(somebody_cancelled_ ? stats.num_generated_tokens >= num_tokens_received_
                                : stats.num_generated_tokens == num_tokens_received_,
            "generated tokens are miscounted");
  CHECK(stats.num_waiting >= 0 && stats.num_running >= 0 && stats.num_leaving >= 0);
  std::int32_t num_sequences_live = 0;
  for_each_live(
      [&](const Promise& promise, const Stream& stream) { num_sequences_live += num_sequences(promise, stream); });
  CHECK_MSG(num_sequences_live == stats.num_waiting + stats.num_running + stats.num_leaving,
            "scheduler and clients disagree on who is still there");
}

}  // namespace caudal::sim
