// Bugs that plants.py puts into copies of the project's kernels; one at a time is switched on.
#pragma once

#include "common/check.h"

namespace caudal::planted {

enum class KernelBug {
  kNone,
  // Of the one-shot all-reduce.
  kPeerFlagTooSoon,  // no barrier between the block's stores and its flag
  kPeerReadTooSoon,  // no barrier between the flags and reading the parts
  kPeerOneHalf,      // not two halves in turn
  kPeerRelaxedFlag,  // a flag that orders nothing
  kPeerLastCall,     // waits for the call before
  kPeerOwnFirst,     // each rank adds in an order of its own
  kPeerShortTail,    // the last element is left out
  kPeerLongTail,     // a whole vector where only a part is the tensor's
  // Of attention.
  kCausalLimit,      // a row sees the token after it
  kWindowStart,      // and one before its window
  kMaskOneKeyLate,   // a tile counts as seen by all though its last key is not
  kMissingRescale,   // sums keep the weight of an old maximum
  kLastPageLost,     // of a decode piece that does not end with a page
  kStageReuse,       // a page is overwritten while other lanes read it
  kPieceReuse,       // the next piece's queries, while other warps read
  kMergeWeight,      // parts of a split context count as if they had one maximum
  kTmaPhase,         // the producer waits for the wrong phase
  kTmaMissingWait,   // and here not at all
  kTmaEarlyRelease,  // a stage is given back while wgmma reads it
  kQueryFence,       // the query, stored by threads, is not shown to wgmma
  kTailNotZero,      // weights of zero meet what an unused slot holds
};

inline KernelBug kernel_bug = KernelBug::kNone;
inline bool planted(KernelBug bug) { return kernel_bug == bug; }

}  // namespace caudal::planted
