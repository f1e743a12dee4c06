#include "common/wire.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/protobuf.h"

namespace caudal {
namespace {

// --- Range checks that need no table ---

template <typename T>
bool all_non_negative(const std::vector<T>& values) {
  return std::ranges::all_of(values, [](const T& value) { return value >= 0; });
}

template <IsBlockCopy T>
bool all_non_negative(const std::vector<T>& copies) {
  return std::ranges::all_of(copies, [](const T& copy) { return copy.source >= 0 && copy.destination >= 0; });
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
  if (std::ranges::any_of(sequence.blocks, [](BlockId block) { return block < kNoBlock; })) {
    return Error{"negative block", "blocks"};
  }
  if (sequence.params.stop.max_tokens < 1) return Error{"less than one", "max_tokens"};
  const std::vector<std::vector<TokenId>>& bad_words = sequence.params.sampling.bad_words;
  if (std::ranges::any_of(bad_words, &std::vector<TokenId>::empty)) return Error{"an empty word", "bad_words"};
  return {};
}

Result<void> check(const StepPlan& plan) {
  if (!all_non_negative(plan.released)) return Error{"negative slot", "released"};
  for (const NewSequence& sequence : plan.new_sequences) {
    if (auto checked = check(sequence); !checked.ok()) return checked;
  }
  const auto has_sane_copies = [](const auto& transfer) { return all_non_negative(transfer.copies); };
  if (!std::ranges::all_of(plan.transfers_to_host, has_sane_copies))
    return Error{"negative block", "transfers_to_host"};
  if (!std::ranges::all_of(plan.transfers_from_host, has_sane_copies))
    return Error{"negative block", "transfers_from_host"};
  if (!all_non_negative(plan.block_copies)) return Error{"negative block", "block_copies"};
  for (const ScheduledSequence& scheduled : plan.scheduled) {
    if (scheduled.slot < 0 || scheduled.num_tokens < 1 || scheduled.num_draft_tokens < 0 ||
        scheduled.next_token.value_or(0) < 0 || !all_non_negative(scheduled.new_blocks)) {
      return Error{"negative slot or block, or no tokens", "scheduled"};
    }
  }
  return {};
}

// Of another version only the version is known. The receiver refuses it.
Result<void> check(const Register& message) {
  if (message.protocol_version != control_protocol_version()) return {};
  const ReplicaInfo& info = message.info;
  if (message.replica_key.empty() || message.replica_key.size() > 256) return Error{"1 to 256 bytes", "replica_key"};
  const Topology& topology = info.topology;
  if (topology.tensor < 1 || topology.tensor > 1024 || topology.pipeline < 1 || topology.pipeline > 1024) {
    return Error{"parts and stages are 1 to 1024", "info.topology"};
  }
  if (message.rank >= static_cast<std::uint32_t>(topology.num_ranks())) {
    return Error{"rank outside the group", "rank"};
  }
  if (info.kv_windows.empty() || info.kv_windows.size() > kMaxKvGroups || !all_non_negative(info.kv_windows)) {
    return Error{"none, too many, or a negative one", "info.kv_windows"};
  }
  if (info.num_blocks < 1 || info.max_num_sequences < 1 || info.max_tokens_per_step < 1 ||
      info.max_context_tokens < 1 || info.vocab_size < 1 || info.max_draft_tokens < 0 || info.num_host_blocks < 0 ||
      info.swap_block_ns < 0) {
    return Error{"capacities must be positive", "info"};
  }
  return {};
}

Result<void> check(const auto&) { return {}; }

template <typename Envelope>
std::string encode_envelope(const Envelope& message) {
  protobuf::Writer writer;
  writer.one_of(message);
  return writer.take();
}

// A Register of another version has other fields, so its reading may stop early; its first field was read by then.
bool is_of_other_version(const FromWorker& message) {
  const auto* registration = std::get_if<Register>(&message);
  return registration != nullptr && registration->protocol_version != control_protocol_version();
}
bool is_of_other_version(const ToWorker&) { return false; }

template <typename Envelope>
Result<Envelope> decode_envelope(std::string_view bytes) {
  Envelope envelope;
  const bool is_whole = protobuf::Reader(bytes).one_of(envelope);
  if (!is_whole && !is_of_other_version(envelope)) return Error{"not a control message", ""};
  auto checked = std::visit([](const auto& message) { return check(message); }, envelope);
  if (!checked.ok()) return checked.error();
  return envelope;
}

}  // namespace

std::string encode(const FromWorker& message) { return encode_envelope(message); }
std::string encode(const ToWorker& message) { return encode_envelope(message); }
Result<FromWorker> decode_from_worker(std::string_view bytes) { return decode_envelope<FromWorker>(bytes); }
Result<ToWorker> decode_to_worker(std::string_view bytes) { return decode_envelope<ToWorker>(bytes); }

}  // namespace caudal
