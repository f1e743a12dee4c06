// The kinds of SequenceGroup. Independent: the n sequences of a request, each for itself; all that they share is the
// prompt. Beams: a beam search, in beams.cpp and there alone.
#pragma once

#include <memory>

#include "coordinator/policy/scheduler_config.h"
#include "coordinator/sequence/sequence.h"

namespace caudal {

SequenceGroup& independent();  // has no state: one for all requests
// Of a request with its sequences, which the group goes on to refer to. So it does to the config.
std::unique_ptr<SequenceGroup> make_beams(RequestState& request, const SchedulerConfig& config);

inline void make_group(RequestState& request, const SchedulerConfig& config) {
  if (request.request.beam) request.own_group = make_beams(request, config);
  request.group = request.own_group ? request.own_group.get() : &independent();
}

}  // namespace caudal
