// What no error text may hold: addresses, paths, source files, system error names.
#pragma once

#include <cctype>
#include <string_view>

namespace caudal {

inline bool leaks(std::string_view text) {
  for (const std::string_view inside :
       {".cpp", ".hpp", "errno", "127.0", "/usr/", "/tmp/", "/home/", "/proc/", "std::"}) {
    if (text.find(inside) != std::string_view::npos) return true;
  }
  for (std::size_t at = text.find("0x"); at != std::string_view::npos; at = text.find("0x", at + 1)) {
    std::size_t num_digits = 0;
    while (at + 2 + num_digits < text.size() && std::isxdigit(static_cast<unsigned char>(text[at + 2 + num_digits]))) {
      ++num_digits;
    }
    if (num_digits >= 6) return true;
  }
  return false;
}

}  // namespace caudal
