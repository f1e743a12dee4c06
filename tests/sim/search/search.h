// Exhaustive search: every state that a model can reach in any order of its moves. Models are small and own what
// cannot be copied, so a state is the list of moves that leads to it, played anew each time; equal digests are one
// state. Breadth first: a failed CHECK is told with a shortest way there.
#pragma once

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <string>
#include <unordered_set>
#include <vector>

namespace caudal::sim {

struct SearchResult {
  std::size_t num_states = 0;
  std::size_t num_moves = 0;  // between them
  std::size_t longest = 0;    // way to a state, in moves
};

// Model: moves() -> the numbers of what can happen next; make(move); digest(); settle(): no more faults, CHECKs
// that all ends well. Every make() CHECKs the invariants.
template <typename Model, typename... Arguments>
SearchResult search(const Arguments&... arguments) {
  using Path = std::vector<std::uint8_t>;
  static std::string way;  // for the handler
  std::signal(SIGABRT, [](int) {
    if (write(STDERR_FILENO, way.data(), way.size()) < 0) _exit(3);
    std::signal(SIGABRT, SIG_DFL);
  });
  const auto play = [&](Model& model, const Path& path) {
    way = fmt::format("moves: {}\n", fmt::join(path, " "));
    for (const std::uint8_t move : path) model.make(move);
  };
  SearchResult result;
  std::unordered_set<std::uint64_t> seen;
  std::deque<Path> open{{}};
  while (!open.empty()) {
    const Path path = std::move(open.front());
    open.pop_front();
    Model model(arguments...);
    play(model, path);
    if (!seen.insert(model.digest()).second) continue;
    ++result.num_states;
    result.longest = path.size();
    for (const std::uint8_t move : model.moves()) {
      ++result.num_moves;
      open.push_back(path);
      open.back().push_back(move);
    }
    model.settle();
  }
  std::signal(SIGABRT, SIG_DFL);
  return result;
}

}  // namespace caudal::sim
