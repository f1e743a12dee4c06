#include "common/wire.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "proto/control.pb.h"

namespace caudal {
namespace {

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;  // clang 16 does not deduce aggregates

template <typename Repeated, typename T>
void fill(Repeated* repeated, const std::vector<T>& values) {
  repeated->Assign(values.begin(), values.end());
}

template <typename T, typename Repeated>
std::vector<T> take(const Repeated& repeated) {
  return std::vector<T>(repeated.begin(), repeated.end());
}

// --- ReplicaInfo and Register ---

void to_proto(const ReplicaInfo& info, control::ReplicaInfo* out) {
  out->set_num_blocks(info.num_blocks);
  out->set_max_num_sequences(info.max_num_sequences);
  out->set_max_tokens_per_step(info.max_tokens_per_step);
  out->set_max_context_tokens(info.max_context_tokens);
  out->set_vocab_size(info.vocab_size);
  out->set_tensor_parallel_size(info.tensor_parallel_size);
  fill(out->mutable_kv_windows(), info.kv_windows);
  out->set_model_digest(info.model_digest);
  out->set_max_draft_tokens(info.max_draft_tokens);
  out->set_has_draft_model(info.has_draft_model);
  out->set_num_host_blocks(info.num_host_blocks);
  out->set_swap_block_ns(info.swap_block_ns);
}

ReplicaInfo from_proto(const control::ReplicaInfo& in) {
  return {.num_blocks = in.num_blocks(),
          .max_num_sequences = in.max_num_sequences(),
          .max_tokens_per_step = in.max_tokens_per_step(),
          .max_context_tokens = in.max_context_tokens(),
          .vocab_size = in.vocab_size(),
          .tensor_parallel_size = in.tensor_parallel_size(),
          .kv_windows = take<std::int32_t>(in.kv_windows()),
          .model_digest = in.model_digest(),
          .max_draft_tokens = in.max_draft_tokens(),
          .has_draft_model = in.has_draft_model(),
          .num_host_blocks = in.num_host_blocks(),
          .swap_block_ns = in.swap_block_ns()};
}

void to_proto(const Register& message, control::Register* out) {
  out->set_protocol_version(message.protocol_version);
  out->set_replica_key(message.replica_key);
  out->set_rank(message.rank);
  out->set_tensor_parallel_size(message.tensor_parallel_size);
  to_proto(message.info, out->mutable_info());
  out->set_build_version(message.build_version);
}

Register from_proto(const control::Register& in) {
  return {.protocol_version = in.protocol_version(),
          .replica_key = in.replica_key(),
          .rank = in.rank(),
          .tensor_parallel_size = in.tensor_parallel_size(),
          .info = from_proto(in.info()),
          .build_version = in.build_version()};
}

// --- StepPlan ---

void to_proto(const SamplingParams& params, control::SamplingParams* out) {
  out->set_temperature(params.temperature);
  out->set_top_p(params.top_p);
  out->set_top_k(params.top_k);
  out->set_min_p(params.min_p);
  out->set_repetition_penalty(params.repetition_penalty);
  out->set_presence_penalty(params.presence_penalty);
  out->set_frequency_penalty(params.frequency_penalty);
  out->set_seed(params.seed);
  out->set_num_logprobs(params.num_logprobs);
  for (const auto& [token, bias] : params.logit_bias) {
    out->add_bias_tokens(token);
    out->add_bias_values(bias);
  }
  for (const auto& word : params.bad_words) fill(out->add_bad_words()->mutable_ids(), word);
}

SamplingParams from_proto(const control::SamplingParams& in) {
  SamplingParams params{.temperature = in.temperature(),
                        .top_p = in.top_p(),
                        .top_k = in.top_k(),
                        .min_p = in.min_p(),
                        .repetition_penalty = in.repetition_penalty(),
                        .presence_penalty = in.presence_penalty(),
                        .frequency_penalty = in.frequency_penalty(),
                        .seed = in.seed(),
                        .num_logprobs = in.num_logprobs(),
                        .logit_bias = {},
                        .bad_words = {}};
  for (int i = 0; i < in.bias_tokens_size(); ++i) {
    params.logit_bias.emplace_back(in.bias_tokens(i), in.bias_values(i));
  }
  for (const auto& word : in.bad_words()) params.bad_words.push_back(take<TokenId>(word.ids()));
  return params;
}

void to_proto(const NewSequence& sequence, control::NewSequence* out) {
  out->set_slot(sequence.slot);
  out->set_sequence_id(sequence.sequence_id);
  fill(out->mutable_tokens(), sequence.tokens);
  out->set_num_prompt_tokens(sequence.num_prompt_tokens);
  out->set_num_computed(sequence.num_computed);
  fill(out->mutable_blocks(), sequence.blocks);
  to_proto(sequence.sampling, out->mutable_sampling());
  out->mutable_stop()->set_max_tokens(sequence.stop.max_tokens);
  out->mutable_stop()->set_min_tokens(sequence.stop.min_tokens);
  fill(out->mutable_stop()->mutable_stop_token_ids(), sequence.stop.stop_token_ids);
  out->set_speculative(static_cast<std::uint32_t>(sequence.speculative));
  out->set_is_beam(sequence.is_beam);
}

NewSequence from_proto(const control::NewSequence& in) {
  return {.slot = in.slot(),
          .sequence_id = in.sequence_id(),
          .tokens = take<TokenId>(in.tokens()),
          .num_prompt_tokens = in.num_prompt_tokens(),
          .num_computed = in.num_computed(),
          .blocks = take<BlockId>(in.blocks()),
          .sampling = from_proto(in.sampling()),
          .stop = {.max_tokens = in.stop().max_tokens(),
                   .min_tokens = in.stop().min_tokens(),
                   .stop_token_ids = take<TokenId>(in.stop().stop_token_ids())},
          .speculative = static_cast<SpeculativeMode>(in.speculative()),
          .is_beam = in.is_beam()};
}

template <typename Repeated>
void to_proto(const std::vector<BlockCopy>& copies, Repeated* out) {
  for (const BlockCopy& copy : copies) {
    control::BlockCopy* added = out->Add();
    added->set_source(copy.source);
    added->set_destination(copy.destination);
  }
}

template <typename Repeated>
std::vector<BlockCopy> copies_from_proto(const Repeated& in) {
  std::vector<BlockCopy> copies;
  for (const auto& copy : in) copies.push_back({copy.source(), copy.destination()});
  return copies;
}

void to_proto(const StepPlan& plan, control::StepPlan* out) {
  out->set_epoch(plan.epoch);
  out->set_step_id(plan.step_id);
  fill(out->mutable_released(), plan.released);
  for (const NewSequence& sequence : plan.new_sequences) to_proto(sequence, out->add_new_sequences());
  to_proto(plan.swapped_out, out->mutable_swapped_out());
  to_proto(plan.swapped_in, out->mutable_swapped_in());
  to_proto(plan.block_copies, out->mutable_block_copies());
  for (const ScheduledSequence& scheduled : plan.scheduled) {
    control::ScheduledSequence* added = out->add_scheduled();
    added->set_slot(scheduled.slot);
    added->set_num_tokens(scheduled.num_tokens);
    added->set_num_draft_tokens(scheduled.num_draft_tokens);
    fill(added->mutable_new_blocks(), scheduled.new_blocks);
    if (scheduled.next_token) added->set_next_token(*scheduled.next_token);
  }
}

Result<StepPlan> from_proto(const control::StepPlan& in) {
  StepPlan plan{.epoch = in.epoch(),
                .step_id = in.step_id(),
                .released = take<SlotId>(in.released()),
                .new_sequences = {},
                .swapped_out = copies_from_proto(in.swapped_out()),
                .swapped_in = copies_from_proto(in.swapped_in()),
                .block_copies = copies_from_proto(in.block_copies()),
                .scheduled = {}};
  for (const auto& sequence : in.new_sequences()) {
    const auto& sampling = sequence.sampling();
    if (sampling.bias_tokens_size() != sampling.bias_values_size()) {
      return Error{"tokens and values differ in number", "sampling.bias"};
    }
    const auto is_empty = [](const auto& word) { return word.ids_size() == 0; };
    if (std::ranges::any_of(sampling.bad_words(), is_empty)) return Error{"an empty word", "sampling.bad_words"};
    if (sequence.speculative() > static_cast<std::uint32_t>(SpeculativeMode::kAuto)) {
      return Error{"unknown mode", "speculative"};
    }
    plan.new_sequences.push_back(from_proto(sequence));
  }
  for (const auto& scheduled : in.scheduled()) {
    plan.scheduled.push_back({.slot = scheduled.slot(),
                              .num_tokens = scheduled.num_tokens(),
                              .new_blocks = take<BlockId>(scheduled.new_blocks()),
                              .num_draft_tokens = scheduled.num_draft_tokens(),
                              .next_token = {}});
    if (scheduled.has_next_token()) plan.scheduled.back().next_token = scheduled.next_token();
  }
  return plan;
}

// --- StepResult ---

void to_proto(const std::vector<TokenLogprob>& entries, control::TokenLogprobs* out) {
  for (const TokenLogprob& entry : entries) {
    out->add_tokens(entry.token);
    out->add_logprobs(entry.logprob);
  }
}

Result<std::vector<TokenLogprob>> from_proto(const control::TokenLogprobs& in) {
  if (in.tokens_size() != in.logprobs_size()) return Error{"tokens and logprobs differ in number", "logprobs"};
  std::vector<TokenLogprob> entries;
  for (int i = 0; i < in.tokens_size(); ++i) entries.push_back({in.tokens(i), in.logprobs(i)});
  return entries;
}

void to_proto(const StepResult& result, control::StepResult* out) {
  out->set_epoch(result.epoch);
  out->set_step_id(result.step_id);
  out->set_compute_us(result.compute_us);
  out->set_draft_us(result.draft_us);
  out->set_draft_pass_us(result.draft_pass_us);
  for (const SequenceResult& sequence : result.sequences) {
    control::SequenceResult* added = out->add_sequences();
    added->set_slot(sequence.slot);
    added->set_sequence_id(sequence.sequence_id);
    added->set_num_computed(sequence.num_computed);
    fill(added->mutable_tokens(), sequence.tokens);
    added->set_finish_reason(static_cast<std::uint32_t>(sequence.finish_reason));
    added->set_num_drafted(sequence.num_drafted);
    added->set_num_accepted(sequence.num_accepted);
    for (const auto& entries : sequence.logprobs) to_proto(entries, added->add_logprobs());
    if (!sequence.candidates.empty()) to_proto(sequence.candidates, added->mutable_candidates());
  }
}

Result<StepResult> from_proto(const control::StepResult& in) {
  StepResult result{.epoch = in.epoch(),
                    .step_id = in.step_id(),
                    .sequences = {},
                    .compute_us = in.compute_us(),
                    .draft_us = in.draft_us(),
                    .draft_pass_us = in.draft_pass_us()};
  for (const auto& sequence : in.sequences()) {
    if (sequence.finish_reason() > static_cast<std::uint32_t>(FinishReason::kError)) {
      return Error{"unknown finish reason", "finish_reason"};
    }
    SequenceResult added{.slot = sequence.slot(),
                         .sequence_id = sequence.sequence_id(),
                         .num_computed = sequence.num_computed(),
                         .tokens = take<TokenId>(sequence.tokens()),
                         .finish_reason = static_cast<FinishReason>(sequence.finish_reason()),
                         .logprobs = {},
                         .num_drafted = sequence.num_drafted(),
                         .num_accepted = sequence.num_accepted(),
                         .candidates = {}};
    for (const auto& row : sequence.logprobs()) {
      Result<std::vector<TokenLogprob>> entries = from_proto(row);
      if (!entries.ok()) return entries.error();
      added.logprobs.push_back(std::move(entries).value());
    }
    Result<std::vector<TokenLogprob>> candidates = from_proto(sequence.candidates());
    if (!candidates.ok()) return candidates.error();
    added.candidates = std::move(candidates).value();
    result.sequences.push_back(std::move(added));
  }
  return result;
}

// --- Range checks that need no table ---

bool all_non_negative(std::span<const std::int32_t> values) {
  for (std::int32_t value : values) {
    if (value < 0) return false;
  }
  return true;
}

Result<void> check(const NewSequence& sequence) {
  const auto num_tokens = static_cast<std::int64_t>(sequence.tokens.size());
  if (sequence.slot < 0) return Error{"negative slot", "new_sequences.slot"};
  if (num_tokens == 0 || !all_non_negative(sequence.tokens)) return Error{"no tokens or a negative one", "tokens"};
  if (sequence.num_prompt_tokens < 1 || sequence.num_prompt_tokens > num_tokens) {
    return Error{"outside the tokens", "num_prompt_tokens"};
  }
  if (sequence.num_computed < 0 || sequence.num_computed >= num_tokens) {
    return Error{"outside the tokens", "num_computed"};
  }
  if (!all_non_negative(sequence.blocks)) return Error{"negative block", "blocks"};
  if (sequence.stop.max_tokens < 1) return Error{"less than one", "max_tokens"};
  return {};
}

Result<void> check(const StepPlan& plan) {
  if (!all_non_negative(plan.released)) return Error{"negative slot", "released"};
  for (const NewSequence& sequence : plan.new_sequences) {
    if (auto checked = check(sequence); !checked.ok()) return checked;
  }
  for (const auto& [copies, field] :
       {std::pair(&plan.swapped_out, "swapped_out"), std::pair(&plan.swapped_in, "swapped_in"),
        std::pair(&plan.block_copies, "block_copies")}) {
    for (const BlockCopy& copy : *copies) {
      if (copy.source < 0 || copy.destination < 0) return Error{"negative block", field};
    }
  }
  for (const ScheduledSequence& scheduled : plan.scheduled) {
    if (scheduled.slot < 0 || scheduled.num_tokens < 1 || scheduled.num_draft_tokens < 0 ||
        scheduled.next_token.value_or(0) < 0 || !all_non_negative(scheduled.new_blocks)) {
      return Error{"negative slot or block, or no tokens", "scheduled"};
    }
  }
  return {};
}

Result<void> check(const Register& message) {
  const ReplicaInfo& info = message.info;
  if (message.replica_key.empty() || message.replica_key.size() > 256) return Error{"1 to 256 bytes", "replica_key"};
  if (message.tensor_parallel_size < 1 || message.tensor_parallel_size > 1024 ||
      message.rank >= message.tensor_parallel_size) {
    return Error{"rank outside the group", "rank"};
  }
  if (info.kv_windows.empty() || info.kv_windows.size() > kMaxKvGroups || !all_non_negative(info.kv_windows))
    return Error{"none, too many, or a negative one", "info.kv_windows"};
  if (info.num_blocks < 1 || info.max_num_sequences < 1 || info.max_tokens_per_step < 1 ||
      info.max_context_tokens < 1 || info.vocab_size < 1 || info.max_draft_tokens < 0 || info.num_host_blocks < 0 ||
      info.swap_block_ns < 0) {
    return Error{"capacities must be positive", "info"};
  }
  return {};
}

template <typename Envelope>
bool parse(Envelope& envelope, std::string_view bytes) {
  return bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()) &&
         envelope.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

std::string encode(const FromWorker& message) {
  control::FromWorker envelope;
  std::visit(Overloaded{[&](const Register& m) { to_proto(m, envelope.mutable_register_()); },
                        [&](const Beat& m) {
                          envelope.mutable_beat()->set_epoch(m.epoch);
                          envelope.mutable_beat()->set_steps_done(m.steps_done);
                          envelope.mutable_beat()->set_busy(m.busy);
                        },
                        [&](const StepResult& m) { to_proto(m, envelope.mutable_result()); },
                        [&](const Failed& m) {
                          envelope.mutable_failed()->set_epoch(m.epoch);
                          envelope.mutable_failed()->set_reason(m.reason);
                        }},
             message);
  return envelope.SerializeAsString();
}

std::string encode(const ToWorker& message) {
  control::ToWorker envelope;
  std::visit(Overloaded{[&](const Welcome& m) {
                          envelope.mutable_welcome()->set_epoch(m.epoch);
                          envelope.mutable_welcome()->set_worker_id(m.worker_id);
                        },
                        [&](const Refused& m) { envelope.mutable_refused()->set_reason(m.reason); },
                        [&](const LeaseBeat& m) { envelope.mutable_lease()->set_epoch(m.epoch); },
                        [&](const StepPlan& m) { to_proto(m, envelope.mutable_plan()); },
                        [&](const Shutdown& m) { envelope.mutable_shutdown()->set_reason(m.reason); },
                        [&](const RegisterAgain&) { envelope.mutable_register_again(); }},
             message);
  return envelope.SerializeAsString();
}

Result<FromWorker> decode_from_worker(std::string_view bytes) {
  control::FromWorker envelope;
  if (!parse(envelope, bytes)) return Error{"not a control message", ""};
  switch (envelope.message_case()) {
    case control::FromWorker::kRegister: {
      Register message = from_proto(envelope.register_());
      if (auto checked = check(message); !checked.ok()) return checked.error();
      return FromWorker(std::move(message));
    }
    case control::FromWorker::kBeat:
      return FromWorker(Beat{.epoch = envelope.beat().epoch(),
                             .steps_done = envelope.beat().steps_done(),
                             .busy = envelope.beat().busy()});
    case control::FromWorker::kResult: {
      Result<StepResult> result = from_proto(envelope.result());
      if (!result.ok()) return result.error();
      return FromWorker(std::move(result).value());
    }
    case control::FromWorker::kFailed:
      return FromWorker(Failed{.epoch = envelope.failed().epoch(), .reason = envelope.failed().reason()});
    case control::FromWorker::MESSAGE_NOT_SET:
      break;
  }
  return Error{"an empty or unknown message", ""};
}

Result<ToWorker> decode_to_worker(std::string_view bytes) {
  control::ToWorker envelope;
  if (!parse(envelope, bytes)) return Error{"not a control message", ""};
  switch (envelope.message_case()) {
    case control::ToWorker::kWelcome:
      return ToWorker(Welcome{envelope.welcome().epoch(), envelope.welcome().worker_id()});
    case control::ToWorker::kRefused:
      return ToWorker(Refused{envelope.refused().reason()});
    case control::ToWorker::kLease:
      return ToWorker(LeaseBeat{envelope.lease().epoch()});
    case control::ToWorker::kPlan: {
      Result<StepPlan> plan = from_proto(envelope.plan());
      if (!plan.ok()) return plan.error();
      if (auto checked = check(plan.value()); !checked.ok()) return checked.error();
      return ToWorker(std::move(plan).value());
    }
    case control::ToWorker::kShutdown:
      return ToWorker(Shutdown{envelope.shutdown().reason()});
    case control::ToWorker::kRegisterAgain:
      return ToWorker(RegisterAgain{});
    case control::ToWorker::MESSAGE_NOT_SET:
      break;
  }
  return Error{"an empty or unknown message", ""};
}

}  // namespace caudal
