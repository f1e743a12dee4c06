#include "coordinator/gateway/api/json_place.h"

#include <fmt/format.h>

#include <algorithm>

namespace caudal {
namespace {

bool is_name(std::string_view key) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !key.empty() && key.size() <= kMaxNamedKeyBytes && std::all_of(key.begin(), key.end(), plain);
}

}  // namespace

void JsonPlace::leave() {
  levels_.pop_back();
  end_value();
}

// No more is kept than it takes to see that a key is too long.
void JsonPlace::add_to_key(std::string_view part) {
  std::string& key = levels_.back().key;
  key += part.substr(0, kMaxNamedKeyBytes + 1 - key.size());
}

void JsonPlace::end_value() {
  if (levels_.empty()) return;
  ++levels_.back().index;
  levels_.back().key.clear();
}

std::string JsonPlace::path() const {
  std::string path;
  for (const Level& level : levels_) {
    if (!level.is_array && !is_name(level.key)) break;
    path += level.is_array ? fmt::format("[{}]", level.index) : (path.empty() ? "" : ".") + level.key;
  }
  return path;
}

}  // namespace caudal
