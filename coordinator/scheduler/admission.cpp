#include "coordinator/scheduler/admission.h"

#include <algorithm>

#include "common/mutation.h"

#include "coordinator/policy/scheduler_config.h"

namespace caudal {

Demand demand_of(const SchedulerConfig& config, const Sequence& sequence) {
  return {.num_prompt_tokens = sequence.request->num_prompt_tokens,
          .max_new_tokens = sequence.request->request.params.stop.max_tokens,
          .num_tokens = sequence.num_tokens(),
          .cached = {},
          .never_preempted = MUTANT(endless_preemption, sequence.num_preemptions >= config.max_preemptions, false),
          .num_together = sequence.group().num_together(),
          .model = sequence.request->request.model};
}

std::int32_t token_limit(const ReplicaInfo& info, const Demand& demand) {
  const std::int32_t room = info.max_context_tokens - demand.num_prompt_tokens;
  return demand.num_prompt_tokens + std::min(demand.max_new_tokens, room);
}

std::int32_t entry_tokens(const ReplicaInfo& info, const Demand& demand) {
  return demand.never_preempted ? token_limit(info, demand) : demand.num_tokens;
}

std::int32_t further_blocks(const Demand& demand, std::int32_t num_tokens) {
  return blocks_for(num_tokens) - demand.num_prompt_tokens / kBlockSize;
}

std::int32_t entry_blocks(const ReplicaInfo& info, const Demand& demand) {
  const std::int32_t num_tokens = demand.never_preempted ? token_limit(info, demand) : demand.num_tokens + 1;
  const std::int32_t num_new = blocks_for(entry_tokens(info, demand)) - demand.cached.num_blocks +
                               (demand.num_together - 1) * further_blocks(demand, num_tokens);
  return num_new * info.num_kv_groups() + demand.cached.num_free + demand.cached.num_from_host;
}

bool can_ever_fit(const ReplicaInfo& info, const Demand& demand) {
  const std::int32_t limit = token_limit(info, demand);
  const std::int64_t num_blocks =
      blocks_for(limit) + std::int64_t{demand.num_together - 1} * further_blocks(demand, limit);
  return info.model == demand.model && demand.num_tokens < info.max_context_tokens &&
         info.max_num_sequences >= demand.num_together && info.max_tokens_per_step > 0 &&
         num_blocks * info.num_kv_groups() <= info.num_blocks;
}

bool can_ever_fit(const SchedulerConfig& config, const ReplicaInfo& info, const Demand& demand) {
  return can_ever_fit(info, demand) && demand.num_together <= config.batch_sequences(info);
}

Admission::Admission(const SchedulerConfig& config, const ReplicaInfo& info, const Occupancy& occupancy)
    : info_(&info),
      chunked_prefill_(config.chunked_prefill),
      max_tokens_(config.step_tokens(info)),
      num_tokens_(occupancy.num_tokens_left),
      num_sequences_(config.batch_sequences(info) - occupancy.num_running),
      num_blocks_(occupancy.num_free_blocks),
      reserve_(occupancy.num_running * info.num_kv_groups()) {}

std::int32_t Admission::chunk(std::int32_t num_wanted) const {
  if (num_wanted <= num_tokens_ + MUTANT(chunk_over_budget, 0, 1)) return num_wanted;
  return chunked_prefill_ || num_wanted > max_tokens_ ? num_tokens_ : 0;
}

bool Admission::admits(const Demand& demand) const {
  return !exhausted() && chunk(demand.num_uncached()) > 0 && can_ever_fit(*info_, demand) && has_room(demand);
}

bool Admission::has_room(const Demand& demand) const {
  return num_sequences_ >= MUTANT(too_few_slots, demand.num_together, 1) &&
         entry_blocks(*info_, demand) + reserve_ <= num_blocks_;
}

void Admission::take(const Demand& demand) {
  num_tokens_ -= chunk(demand.num_uncached());
  take_room(demand);
}

void Admission::limit_tokens(std::int32_t num_tokens) {
  num_tokens_ = MUTANT(target_raises_budget, std::min(num_tokens_, num_tokens), num_tokens);
}

void Admission::take_room(const Demand& demand) {
  num_sequences_ -= demand.num_together;
  num_blocks_ -= entry_blocks(*info_, demand);
  reserve_ += demand.num_together * info_->num_kv_groups();
}

}  // namespace caudal
