// See machine.h.
#include "common/grammar/automata/machine.h"

namespace caudal::grammar {

std::byte* Arena::take(std::size_t bytes) {
  bytes = (bytes + 7) / 8 * 8;
  const bool fits = used_ < kBlockBytes && bytes <= kBlockBytes - used_;
  if (!fits || blocks_.back().use_count() > 1) {
    blocks_.push_back(std::make_shared_for_overwrite<std::byte[]>(std::max(bytes, kBlockBytes)));
    used_ = 0;
  }
  std::byte* place = blocks_.back().get() + used_;
  used_ += bytes;
  return place;
}

}  // namespace caudal::grammar
