#include "worker/cache/kv_layout.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "common/check.h"

namespace caudal {
namespace {

// Up to this ratio of counts, groups that leave room unused cost less than many small groups with a table each.
constexpr double kNearlyEqual = 1.25;

// Room that may be taken for each element that is used.
constexpr std::int64_t kMaxRoom = 2;

// What layers of one kind have in common. Sorted by how far they see, the furthest first.
struct Kind {
  std::int32_t window = 0;
  std::int64_t elements = 0;  // of K in a block

  std::int64_t reach() const { return window == 0 ? std::numeric_limits<std::int64_t>::max() : window; }
  bool operator<(const Kind& other) const {
    return std::pair(-reach(), elements) < std::pair(-other.reach(), other.elements);
  }
};

using Kinds = std::map<Kind, std::vector<int>>;

std::vector<KvGroup> one_group(std::int32_t window, std::size_t num_layers) {
  KvGroup group{.window = window, .layers = std::vector<int>(num_layers)};
  std::iota(group.layers.begin(), group.layers.end(), 0);
  return {std::move(group)};
}

// Elements of a row that layers of every kind fill without a gap; 0 when there is none of at most `max`.
std::int64_t common_row(const Kinds& kinds, std::int64_t max) {
  std::int64_t row = 1;
  for (const auto& [kind, layers] : kinds) {
    const std::int64_t factor = kind.elements / std::gcd(row, kind.elements);
    if (factor > max / row) return 0;
    row *= factor;
  }
  return row;
}

// Pairs of arrays for a group.
std::size_t pairs_per_group(const Kinds& kinds, std::int64_t row_elements) {
  std::size_t fewest = std::numeric_limits<std::size_t>::max(), most = 0;
  for (const auto& [kind, layers] : kinds) {
    const std::size_t layers_per_pair = row_elements / kind.elements;
    const std::size_t needed = (layers.size() + layers_per_pair - 1) / layers_per_pair;
    fewest = std::min(fewest, needed);
    most = std::max(most, needed);
  }
  const bool nearly_equal = static_cast<double>(most) < kNearlyEqual * static_cast<double>(fewest);
  return nearly_equal ? most : fewest;
}

void cut_into_groups(std::int32_t window, std::span<const int> layers, std::size_t num_pairs, int layers_per_pair,
                     std::vector<KvGroup>& groups) {
  const std::size_t size = num_pairs * static_cast<std::size_t>(layers_per_pair);
  for (; !layers.empty(); layers = layers.subspan(std::min(size, layers.size()))) {
    const std::span<const int> mine = layers.first(std::min(size, layers.size()));
    groups.push_back({window, {mine.begin(), mine.end()}, layers_per_pair});
  }
}

}  // namespace

std::vector<KvGroup> make_kv_groups(std::span<const KvLayer> layers) {
  if (layers.empty()) return {};
  Kinds kinds;
  std::int64_t used = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    kinds[{layers[i].window, layers[i].block_elements()}].push_back(static_cast<int>(i));
    used += layers[i].block_elements();
  }
  const std::int32_t first_window = layers.front().window;
  const auto sees_as_far = [&](const KvLayer& layer) { return layer.window == first_window; };
  if (std::ranges::all_of(layers, sees_as_far)) return one_group(first_window, layers.size());

  const std::int64_t row_elements = common_row(kinds, used);
  if (row_elements == 0) return one_group(0, layers.size());
  const std::size_t num_pairs = pairs_per_group(kinds, row_elements);
  std::vector<KvGroup> groups;
  for (const auto& [kind, of_kind] : kinds) {
    const auto layers_per_pair = static_cast<int>(row_elements / kind.elements);
    cut_into_groups(kind.window, of_kind, num_pairs, layers_per_pair, groups);
  }
  const auto room = row_elements * static_cast<std::int64_t>(num_pairs * groups.size());
  return room > kMaxRoom * used ? one_group(0, layers.size()) : groups;
}

std::vector<KvGroup> merge_kv_groups(std::span<const KvGroup> groups) {
  std::size_t num_layers = 0;
  for (const KvGroup& group : groups) num_layers += group.layers.size();
  return one_group(0, num_layers);
}

std::vector<std::int64_t> KvShape::row_elements() const {
  std::vector<std::int64_t> rows;
  for (const KvGroup& group : groups) {
    for (std::size_t i = 0; i < group.layers.size(); ++i) {
      const std::int64_t elements = layers[group.layers[i]].block_elements() * group.layers_per_pair;
      const std::size_t pair = i / static_cast<std::size_t>(group.layers_per_pair);
      if (pair == rows.size()) rows.push_back(elements);
      CHECK(rows[pair] == elements);
    }
  }
  return rows;
}

std::size_t KvShape::block_bytes() const {
  const std::vector<std::int64_t> rows = row_elements();
  return 2 * std::accumulate(rows.begin(), rows.end(), std::size_t{0}) * dtype_bytes(dtype);
}

}  // namespace caudal
