// SequenceMap: finds a sequence by its id. Owns nothing; engine thread.
#pragma once

#include "coordinator/sequence/id_map.h"
#include "coordinator/sequence/sequence.h"

namespace caudal {

class SequenceMap {
 public:
  Sequence& operator[](SequenceId id) const {
    Sequence* const* sequence = map_.find(id);
    CHECK_MSG(sequence != nullptr, "a sequence is named that is gone");
    return **sequence;
  }

  // Brings the place of the id into the cache.
  void fetch(SequenceId id) const { map_.fetch(id); }

  // Its id is new. It stays where it is until it is erased.
  void insert(Sequence& sequence) { CHECK(map_.insert(sequence.id, &sequence) != nullptr); }
  void erase(SequenceId id) { CHECK(map_.erase(id)); }

 private:
  IdMap<Sequence*> map_;
};

}  // namespace caudal
