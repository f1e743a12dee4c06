// Placement: which replica gets a waiting sequence. Walks the queue on copies of what every replica that
// can take a plan now has left, so that a replica leaves to the others what suits them better.
// Lives for one plan().
#pragma once

#include <utility>
#include <vector>

#include "coordinator/admission.h"

namespace caudal {

struct Candidate {
  ReplicaId replica = 0;
  Admission admission;
  std::int32_t num_running = 0;  // sequences: the load

  void take(const Demand& demand) {
    admission.take(demand);
    ++num_running;
  }
};

class Placement {
 public:
  void add(Candidate candidate) { candidates_.push_back(std::move(candidate)); }

  // The candidate that admits the sequence and has the lowest load, the first one of equals;
  // nullptr: no room anywhere.
  Candidate* choose(const Demand& demand);

 private:
  std::vector<Candidate> candidates_;
};

}  // namespace caudal
