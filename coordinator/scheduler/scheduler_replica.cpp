#include "coordinator/scheduler/scheduler_replica.h"

#include <algorithm>

#include "common/mutation.h"

namespace caudal {

Replica::Replica(BlockIndex& index, ReplicaId id_, Epoch epoch_, const ReplicaInfo& info_)
    : id(id_),
      epoch(epoch_),
      info(info_),
      kv(index, id_, info_.num_blocks),
      host(id_, info_.num_host_blocks),
      draft_length(info_) {
  for (SlotId slot = info.max_num_sequences - 1; slot >= 0; --slot) free_slots.push_back(slot);
}

Admission Replica::admission(const SchedulerConfig& config, std::int32_t tokens_left) const {
  return Admission(
      config, info,
      {.num_running = num_running(), .num_free_blocks = kv.pool().num_free(), .num_tokens_left = tokens_left});
}

void Replica::insert_running(Sequence& sequence) {
  const auto later = [](const Sequence* a, const Sequence* b) { return a->key < b->key; };
  const auto position = std::upper_bound(running.begin(), running.end(), &sequence, later);
  running.insert(MUTANT(running_unordered, position, running.end()), &sequence);
}

void Replica::remove_departed() {
  std::erase_if(running, [](const Sequence* s) { return s->state != SequenceState::kRunning; });
}

}  // namespace caudal
