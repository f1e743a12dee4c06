// Scheduler::Draft: a plan in the making, shared by the files of plan().
#pragma once

#include <vector>

#include "coordinator/scheduler/scheduler.h"

namespace caudal {

struct Scheduler::Draft {
  Replica& replica;
  Admission left;
  StepPlan plan;
  PlanInFlight record;
  std::vector<Sequence*> prefills;  // running, with more than one token to compute
  DraftLength::Step draft_lengths;  // of this step's speculation
  std::size_t num_walked = 0;       // running sequences before this index have had their turn
  Time itl_target_us = 0;           // the tightest of the sequences that decode; 0: none
  bool short_of_blocks = false;     // somebody had to wait or to leave: admit nobody
};

}  // namespace caudal
