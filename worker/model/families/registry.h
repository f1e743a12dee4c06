// The architectures that this build serves.
#pragma once

#include <span>

#include "worker/model/model.h"

namespace caudal {

std::span<const Family> known_families();

}  // namespace caudal
