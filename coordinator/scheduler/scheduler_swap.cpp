// KV swap: a preempted sequence whose KV is cheaper to copy than to compute again keeps it in the host memory of its
// replica and goes on from there. Out when no plan in flight names its blocks any more; in when it is admitted there.
// Beams go on from one another and are computed again, together.
#include <algorithm>

#include "coordinator/kv/swap_cost.h"
#include "coordinator/scheduler/scheduler_draft.h"

#include "common/mutation.h"
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

void Scheduler::swap_out(Sequence& sequence, Replica& replica) {
  const Residence& residence = sequence.residence;
  const bool has_some = residence.num_computed > 0 && residence.num_computed < sequence.num_tokens();
  if (!replica.alive || replica.host.num_blocks() == 0 || !has_some || sequence.is_beam()) return;
  const SwapCost cost{.num_blocks = blocks_for(residence.num_computed) - residence.table.num_dropped,
                      .num_lost_tokens = num_lost_tokens(residence, replica.kv.pool()),
                      .block_ns = replica.info.swap_block_ns,
                      .prompt_token_ns = replica.step_budget.prompt_token_ns()};
  if (!cost.swap_is_cheaper()) return;
  if (replica.host.store(residence.table, residence.num_computed, sequence.host)) ++replica.num_sequences_swapped_out;
}

// The sequence has its blocks here, the first of them perhaps from the prefix cache; the others get what was kept.
void Scheduler::swap_in(Draft& draft, Sequence& sequence) {
  Replica& replica = draft.replica;
  Residence& residence = sequence.residence;
  HostCopy& host = sequence.host;
  if (!host.exists()) return;
  if (host.replica != replica.id || host.num_tokens <= residence.num_computed) {
    MUTANT_OMITS(host_outlives_move, drop_host_copy(sequence));
    return;
  }
  const std::int32_t num_dropped = host.num_dropped;
  const std::int32_t num_present = residence.num_computed / kBlockSize + MUTANT(block_too_few_back, 0, 1);
  residence.num_computed = host.num_tokens;
  const std::vector<BlockCopy> copies = replica.host.restore(host, residence.table, num_present);
  MUTANT_OMITS(no_blocks_back, draft.plan.swapped_in.insert(draft.plan.swapped_in.end(), copies.begin(), copies.end()));
  // Nothing is in the first ones, and nobody reads them: they must not be found.
  residence.table.num_published = std::max(residence.table.num_published, num_dropped);
  replica.kv.drop(residence.table, num_dropped);
  ++replica.num_sequences_swapped_in;
}

void Scheduler::drop_host_copy(Sequence& sequence) {
  if (sequence.host.exists()) replicas_.at(sequence.host.replica).host.drop(sequence.host);
}

}  // namespace caudal
