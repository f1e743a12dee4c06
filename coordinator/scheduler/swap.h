// KV swap: a preempted sequence whose KV is cheaper to copy than to compute again keeps it in the host memory of its
// replica and goes on from there. Out when no plan in flight names its blocks any more; in when it is admitted there.
#pragma once

#include <vector>

#include "coordinator/scheduler/replica_state.h"

namespace caudal {

// Of a sequence that has left and still has its blocks. Keeps nothing where that does not pay.
void swap_out(Sequence& sequence, ReplicaState& replica);

// Of a sequence that comes back. It has its blocks here, the first of them perhaps from the prefix cache; the others
// get what was kept. The copies to be made, host block to KV block.
std::vector<CopyFromHost> swap_in(Sequence& sequence, ReplicaState& replica);

}  // namespace caudal
