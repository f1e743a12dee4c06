// Byte strings as a tree. Immutable, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace caudal::grammar {

// In depth-first order: a node's children follow it, up to `end`.
// Bytes that expressions usually treat alike, as one bit.
constexpr std::uint16_t group_of(std::uint8_t byte) {
  constexpr std::string_view kSingle = " -_./:@";
  const auto single = kSingle.find(static_cast<char>(byte));
  if (byte < 0x80 && single != std::string_view::npos) return static_cast<std::uint16_t>(1U << single);
  if (byte >= '0' && byte <= '9') return 1U << 8;
  if (byte >= 'a' && byte <= 'f') return 1U << 9;
  if (byte >= 'g' && byte <= 'z') return 1U << 10;
  if (byte >= 'A' && byte <= 'F') return 1U << 11;
  if (byte >= 'G' && byte <= 'Z') return 1U << 12;
  if (byte >= 0x80) return 1U << 13;
  return byte < ' ' ? 1U << 14 : 1U << 15;
}

class Trie {
 public:
  struct Node {
    std::uint32_t end;     // one past the last node below this one
    std::uint32_t values;  // index of its first value
    std::uint8_t byte;     // that leads to it
    std::uint16_t groups;  // of the bytes below this node, as bits; see group_of()
  };
  // `values` are pairs of a string and what stands at its end; several may share one string.
  explicit Trie(std::vector<std::pair<std::string_view, std::uint32_t>> values);

  // Node 0 is the root.
  const std::vector<Node>& nodes() const { return nodes_; }
  std::span<const std::uint32_t> values(std::uint32_t node) const {
    return std::span(values_).subspan(nodes_[node].values, nodes_[node + 1].values - nodes_[node].values);
  }
  // Of the node and all below it.
  std::span<const std::uint32_t> all_values(std::uint32_t node) const {
    const std::uint32_t end = nodes_[nodes_[node].end].values;
    return std::span(values_).subspan(nodes_[node].values, end - nodes_[node].values);
  }
  std::uint32_t size() const { return static_cast<std::uint32_t>(nodes_.size() - 1); }

 private:
  std::vector<Node> nodes_;  // and one behind the last
  std::vector<std::uint32_t> values_;
};

}  // namespace caudal::grammar
