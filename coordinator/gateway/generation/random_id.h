// Ids of requests: equal ones never come again, from whatever client, and after whatever restart. Any thread.
#pragma once

#include <string>

namespace caudal {

std::string random_id();  // 32 hexadecimal digits

}  // namespace caudal
