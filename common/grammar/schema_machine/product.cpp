// See product.h.
#include "common/grammar/schema_machine/product.h"

#include <algorithm>
#include <deque>
#include <set>

namespace caudal::grammar {
namespace {

constexpr std::size_t kMaxSearched = 1000;  // states

}  // namespace

Product::Product(std::vector<std::string> words, std::vector<WordSet> groups, std::vector<LazyDfa*> automata)
    : words_(std::move(words)), groups_(std::move(groups)), automata_(std::move(automata)) {
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    auto& counts = counts_.emplace_back(1, 0);
    for (std::uint32_t word = 0; word < words_.size(); ++word)
      counts.push_back(counts.back() + (is_in(word, group) ? 1 : 0));
  }
  Info info{.last = static_cast<std::uint32_t>(words_.size()), .automata = {}};
  for (const LazyDfa* automaton : automata_) info.automata.push_back(automaton->start());
  start_ = intern(std::move(info));
}

std::optional<std::uint32_t> Product::word(std::uint32_t state) const {
  const Info& info = states_[state];
  if (info.first == info.last || words_[info.first].size() != info.depth) return std::nullopt;
  return info.first;
}

bool Product::reaches(std::uint32_t state, std::size_t group) const {
  return counts_[group][states_[state].first] != counts_[group][states_[state].last];
}

std::uint32_t Product::find_next(std::uint32_t state, std::uint8_t byte) {
  const Info& from = states_[state];
  Info to{.automata = {}};
  // The words in reach have the same first `depth` bytes.
  const auto at = [&](std::uint32_t word) {
    return words_[word].size() > from.depth ? static_cast<std::uint8_t>(words_[word][from.depth]) : -1;
  };
  std::uint32_t first = from.first;
  std::uint32_t last = from.last;
  while (first < last) {  // the first word whose next byte is `byte` or above
    const std::uint32_t middle = first + (last - first) / 2;
    at(middle) < byte ? first = middle + 1 : last = middle;
  }
  to.first = first;
  last = from.last;
  while (first < last) {
    const std::uint32_t middle = first + (last - first) / 2;
    at(middle) <= byte ? first = middle + 1 : last = middle;
  }
  to.last = first;
  to.depth = from.depth + 1;
  for (std::size_t i = 0; i < automata_.size(); ++i) to.automata.push_back(automata_[i]->next(from.automata[i], byte));
  const std::uint32_t id = intern(std::move(to));
  next_[state][byte] = id;
  return id;
}

std::uint32_t Product::intern(Info info) {
  if (info.first == info.last) info.first = info.last = info.depth = 0;
  std::vector<std::uint32_t> key{info.first, info.last, info.depth};
  key.insert(key.end(), info.automata.begin(), info.automata.end());
  const auto [found, is_new] = ids_.try_emplace(std::move(key), static_cast<std::uint32_t>(states_.size()));
  if (!is_new) return found->second;
  const std::uint32_t id = found->second;
  info.is_absorbing = info.first == info.last;
  states_.push_back(std::move(info));
  next_.emplace_back().fill(kUnknown);
  std::vector<bool> alive;
  for (std::size_t i = 0; i < automata_.size(); ++i) {
    alive.push_back(!is_dead(id, i));
    if (!is_dead(id, i) && !is_final(id, i)) states_[id].is_absorbing = false;
  }
  for (std::size_t group = 0; group < groups_.size(); ++group) alive.push_back(reaches(id, group));
  states_[id].signature = signatures_.try_emplace(alive, static_cast<std::uint32_t>(signatures_.size())).first->second;
  if (states_[id].is_absorbing) next_[id].fill(id);
  return id;
}

std::uint16_t Product::find_loops(std::uint32_t state) {
  std::uint16_t others = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const std::uint16_t group = group_of(static_cast<std::uint8_t>(byte));
    // Quotes and backslashes are never asked about.
    if ((others & group) != 0 || byte == '"' || byte == '\\') continue;
    if (next(state, static_cast<std::uint8_t>(byte)) != state) others |= group;
  }
  const auto loops = static_cast<std::uint16_t>(~others);
  states_[state].loops = loops;
  return loops;
}

bool Product::accepts_all(std::uint32_t state) const {
  for (std::size_t i = 0; i < automata_.size(); ++i) {
    if (!accepts(state, i)) return false;
  }
  const auto here = word(state);
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    if (!here || !is_in(*here, group)) return false;
  }
  return true;
}

bool Product::reaches_all(std::uint32_t state) {
  if (states_[state].reaches_all) return *states_[state].reaches_all;
  // Bytes that no automaton and no word tells apart are tried once.
  std::set<std::vector<std::uint32_t>> classes;
  std::vector<std::uint8_t> bytes;
  for (int byte = 0; byte < 256; ++byte) {
    std::vector<std::uint32_t> key{words_.empty() ? 0U : static_cast<std::uint32_t>(byte)};
    for (const LazyDfa* automaton : automata_) key.push_back(automaton->class_of(static_cast<std::uint8_t>(byte)));
    if (classes.insert(std::move(key)).second) bytes.push_back(static_cast<std::uint8_t>(byte));
  }
  std::set<std::uint32_t> seen{state};
  std::deque<std::uint32_t> todo{state};
  bool found = false;
  while (!todo.empty() && !found && seen.size() < kMaxSearched) {
    const std::uint32_t at = todo.front();
    todo.pop_front();
    found = accepts_all(at);
    for (const std::uint8_t byte : bytes) {
      const std::uint32_t to = next(at, byte);
      bool is_dead_end = false;
      for (std::size_t i = 0; i < automata_.size(); ++i) is_dead_end = is_dead_end || is_dead(to, i);
      for (std::size_t group = 0; group < groups_.size(); ++group) is_dead_end = is_dead_end || !reaches(to, group);
      if (!is_dead_end && seen.insert(to).second) todo.push_back(to);
    }
  }
  found = found || !todo.empty();
  states_[state].reaches_all = found;
  return found;
}

}  // namespace caudal::grammar
