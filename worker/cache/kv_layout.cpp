#include "worker/cache/kv_layout.h"

#include <algorithm>
#include <limits>
#include <map>

namespace caudal {
namespace {

// Up to this ratio of counts, groups that leave room unused cost less than many small groups with a table each.
constexpr double kNearlyEqual = 1.25;

// Sorts windows by how far they see, the furthest first.
struct SeesFurther {
  static std::int64_t reach(std::int32_t window) {
    return window == 0 ? std::numeric_limits<std::int64_t>::max() : window;
  }
  bool operator()(std::int32_t a, std::int32_t b) const { return reach(a) > reach(b); }
};

}  // namespace

std::vector<KvGroup> make_kv_groups(std::span<const std::int32_t> windows) {
  std::map<std::int32_t, std::vector<int>, SeesFurther> layers_of;
  for (std::size_t i = 0; i < windows.size(); ++i) layers_of[windows[i]].push_back(static_cast<int>(i));
  std::size_t fewest = windows.size(), most = 0;
  for (const auto& [window, layers] : layers_of) {
    fewest = std::min(fewest, layers.size());
    most = std::max(most, layers.size());
  }
  const bool nearly_equal = static_cast<double>(most) < kNearlyEqual * static_cast<double>(fewest);
  const std::size_t size = nearly_equal ? most : fewest;
  std::vector<KvGroup> groups;
  for (const auto& [window, layers] : layers_of) {
    for (std::size_t begin = 0; begin < layers.size(); begin += size) {
      const auto first = layers.begin() + static_cast<std::ptrdiff_t>(begin);
      const auto count = static_cast<std::ptrdiff_t>(std::min(size, layers.size() - begin));
      groups.push_back({window, {first, first + count}});
    }
  }
  return groups;
}

std::vector<KvGroup> merge_kv_groups(std::span<const KvGroup> groups) {
  KvGroup all;
  for (const KvGroup& group : groups) all.layers.insert(all.layers.end(), group.layers.begin(), group.layers.end());
  std::ranges::sort(all.layers);
  return {all};
}

std::size_t layers_per_group(std::span<const KvGroup> groups) {
  std::size_t most = 0;
  for (const KvGroup& group : groups) most = std::max(most, group.layers.size());
  return most;
}

}  // namespace caudal
