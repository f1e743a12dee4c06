#include "coordinator/scheduler/swap.h"

#include <algorithm>

#include "common/mutation.h"
#include "coordinator/kv/swap_cost.h"

namespace caudal {

// Computed tokens in blocks that nobody else holds. Those may be found in the prefix cache later, but the pool is
// short of blocks, so most will have been handed out by then.
static std::int32_t num_lost_tokens(const Residence& residence, const BlockPool& pool) {
  std::int32_t num_lost = residence.num_computed;
  const std::vector<BlockId>& blocks = residence.table.blocks;
  for (std::int32_t i = residence.table.num_dropped; (i + 1) * kBlockSize <= residence.num_computed; ++i) {
    if (pool.num_references(blocks[static_cast<std::size_t>(i)]) > 1) num_lost -= kBlockSize;
  }
  return num_lost;
}

void swap_out(Sequence& sequence, ReplicaState& replica) {
  const Residence& residence = sequence.residence;
  const bool has_some = residence.num_computed > 0 && residence.num_computed < sequence.num_tokens();
  const bool may_keep = replica.is_alive() && replica.host().num_blocks() > 0;
  if (!may_keep || !has_some || !sequence.group().are_sampled()) return;
  const SwapCost cost{.num_blocks = blocks_for(residence.num_computed) - residence.table.num_dropped,
                      .num_lost_tokens = num_lost_tokens(residence, replica.kv().pool()),
                      .block_ns = replica.info().swap_block_ns,
                      .prompt_token_ns = replica.step_budget().prompt_token_ns()};
  if (!cost.swap_is_cheaper()) return;
  if (replica.host().store(residence.table, residence.num_computed, sequence.host))
    ++replica.counters().num_sequences_swapped_out;
}

std::vector<BlockCopy> swap_in(Sequence& sequence, ReplicaState& replica) {
  Residence& residence = sequence.residence;
  HostCopy& host = sequence.host;
  const std::int32_t num_dropped = host.num_dropped;
  const std::int32_t num_present = residence.num_computed / kBlockSize + MUTANT(block_too_few_back, 0, 1);
  residence.num_computed = host.num_tokens;
  std::vector<BlockCopy> copies = replica.host().restore(host, residence.table, num_present);
  // Nothing is in the first ones, and nobody reads them: they must not be found.
  residence.table.num_published = std::max(residence.table.num_published, num_dropped);
  replica.kv().drop(residence.table, num_dropped);
  ++replica.counters().num_sequences_swapped_in;
  return copies;
}

}  // namespace caudal
