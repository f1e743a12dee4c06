// A LoadReport as clients see it: the JSON of GET /load and the Load event of gateway.proto.
#pragma once

#include <cstdint>
#include <string>

#include "coordinator/request/load_report.h"

namespace caudal {

std::string load_json(const LoadReport& report);
// A serialized GatewayEvent.
std::string load_event(std::uint64_t tag, const LoadReport& report);

}  // namespace caudal
