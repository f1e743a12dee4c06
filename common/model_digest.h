// What tells models apart that come to one cluster: the text of their config.json. The weights are not in it.
#pragma once

#include <string>
#include <string_view>

namespace caudal {

// SHA-256, hexadecimal.
std::string model_digest(std::string_view config_text);

}  // namespace caudal
