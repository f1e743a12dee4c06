#include "coordinator/scheduler/swap.h"

#include <algorithm>

#include "common/mutation.h"
#include "coordinator/kv/swap_cost.h"

namespace caudal {

// Computed tokens in blocks that nobody else holds. Those may be found in the prefix cache later, but the pool is
// short of blocks, so most will have been handed out by then.
static std::int32_t num_lost_tokens(const Residence& residence, const KvManager& kv) {
  const auto is_shared = [&](BlockId block) { return block != kNoBlock && kv.pool().num_references(block) > 1; };
  std::int32_t num_lost = residence.num_computed;
  for (std::int32_t i = 0; (i + 1) * kBlockSize <= residence.num_computed; ++i) {
    const auto blocks = residence.table.blocks.begin() + i * kv.num_groups();
    if (std::any_of(blocks, blocks + kv.num_groups(), is_shared)) num_lost -= kBlockSize;
  }
  return num_lost;
}

void swap_out(Sequence& sequence, ReplicaState& replica) {
  const Residence& residence = sequence.residence;
  const bool has_some = residence.num_computed > 0 && residence.num_computed < sequence.num_tokens();
  const bool may_keep = replica.is_alive() && replica.host().num_blocks() > 0;
  if (!may_keep || !has_some || !sequence.group().are_sampled()) return;
  const SwapCost cost{.num_blocks = replica.kv().num_held(residence.table, residence.num_computed),
                      .num_lost_tokens = num_lost_tokens(residence, replica.kv()),
                      .block_ns = replica.info().swap_block_ns,
                      .prompt_token_ns = replica.step_budget().prompt_token_ns()};
  if (!cost.swap_is_cheaper()) return;
  if (replica.host().store(residence.table, residence.num_computed, sequence.host))
    ++replica.counters().num_sequences_swapped_out;
}

std::vector<CopyFromHost> swap_in(Sequence& sequence, ReplicaState& replica) {
  Residence& residence = sequence.residence;
  HostCopy& host = sequence.host;
  const std::int32_t num_passed = host.num_passed;
  const std::int32_t num_present = residence.num_computed / kBlockSize + MUTANT(block_too_few_back, 0, 1);
  residence.num_computed = host.num_tokens;
  std::vector<CopyFromHost> copies = replica.host().restore(host, residence.table, num_present);
  replica.kv().drop_hidden(residence.table, num_passed);  // nothing was kept of those
  ++replica.counters().num_sequences_swapped_in;
  return copies;
}

}  // namespace caudal
