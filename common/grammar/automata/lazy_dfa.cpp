// The subset construction (Rabin and Scott, 1959). With look-ahead a member of the subset carries the instructions that
// still have to match and those that must not.
#include "common/grammar/automata/lazy_dfa.h"

#include <algorithm>
#include <deque>
#include <set>

namespace caudal::grammar {
namespace {

using Op = Instruction::Op;

constexpr std::size_t kMaxSearched = 512;  // states, until a state counts as one that can match

void add_sorted(std::vector<std::uint32_t>& items, std::uint32_t item) {
  const auto place = std::ranges::lower_bound(items, item);
  if (place == items.end() || *place != item) items.insert(place, item);
}

}  // namespace

LazyDfa::LazyDfa(const RegexProgram& program, std::size_t max_states)
    : program_(program), max_states_(max_states), visited_(program.code.size(), 0) {
  find_classes();
  states_.emplace_back();  // kDead
  next_.assign(num_classes_, kDead);
  Threads threads;
  close({program_.start, {}, {}}, true, false, threads);
  start_ = intern(std::move(threads));
}

void LazyDfa::find_classes() {
  std::array<bool, 257> begins{};
  begins[0] = true;
  for (const Instruction& i : program_.code) {
    if (i.op != Op::kByte) continue;
    begins[i.first] = true;
    begins[i.last + std::size_t{1}] = true;
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (begins[byte]) representatives_.push_back(static_cast<std::uint8_t>(byte));
    class_[byte] = static_cast<std::uint8_t>(representatives_.size() - 1);
  }
  num_classes_ = static_cast<std::uint32_t>(representatives_.size());
}

// --- Closures: what is reached without a byte ---

std::vector<std::uint32_t> LazyDfa::closed(std::uint32_t pc, bool at_start, bool at_end) {
  std::vector<std::uint32_t> items;
  std::vector<std::uint32_t> todo{pc};
  ++closure_;
  while (!todo.empty()) {
    const std::uint32_t at = todo.back();
    todo.pop_back();
    if (visited_[at] == closure_ || program_.can_match[at] == 0) continue;
    visited_[at] = closure_;
    const Instruction& i = program_.code[at];
    const bool passes = i.op == Op::kSplit || (i.op == Op::kEnd && at_end) || (i.op == Op::kStart && at_start);
    if (passes) todo.push_back(i.next);
    if (i.op == Op::kSplit) todo.push_back(i.other);
    if (!passes && i.op != Op::kFail && i.op != Op::kStart) add_sorted(items, at);
  }
  return items;
}

void LazyDfa::close(Thread thread, bool at_start, bool at_end, Threads& out) {
  const auto is_match = [&](std::uint32_t pc) { return program_.code[pc].op == Op::kMatchAll; };
  std::set<Thread> seen;
  std::vector<Thread> todo{std::move(thread)};
  while (!todo.empty()) {
    Thread at = std::move(todo.back());
    todo.pop_back();
    if (program_.can_match[at.pc] == 0 || !seen.insert(at).second) continue;
    const Instruction& i = program_.code[at.pc];
    if (i.op == Op::kByte || i.op == Op::kMatch || i.op == Op::kMatchAll || (i.op == Op::kEnd && !at_end)) {
      out.push_back(std::move(at));
      continue;
    }
    if (i.op == Op::kFail || (i.op == Op::kStart && !at_start)) continue;
    at.pc = i.next;
    if (i.op == Op::kSplit) todo.push_back({i.other, at.ahead, at.not_ahead});
    if (i.op == Op::kAhead || i.op == Op::kNotAhead) {
      const std::vector<std::uint32_t> items = closed(i.other, at_start, at_end);
      const bool matches = std::ranges::any_of(items, is_match);
      if (i.op == Op::kNotAhead && matches) continue;
      if (i.op == Op::kNotAhead) {
        for (const std::uint32_t item : items) add_sorted(at.not_ahead, item);
      } else if (!matches) {
        for (const std::uint32_t item : items) {
          Thread with = at;
          add_sorted(with.ahead, item);
          todo.push_back(std::move(with));
        }
        continue;
      }
    }
    todo.push_back(std::move(at));
  }
}

// The same for expressions that do not look ahead.
void LazyDfa::close_plain(std::uint32_t pc, Threads& out) {
  std::vector<std::uint32_t> todo{pc};
  while (!todo.empty()) {
    const std::uint32_t at = todo.back();
    todo.pop_back();
    if (visited_[at] == closure_ || program_.can_match[at] == 0) continue;
    visited_[at] = closure_;
    const Instruction& i = program_.code[at];
    if (i.op == Op::kSplit) {
      todo.push_back(i.next);
      todo.push_back(i.other);
    } else if (i.op != Op::kFail && i.op != Op::kStart) {
      out.push_back({at, {}, {}});
    }
  }
}

bool LazyDfa::accepts_at_end(const Threads& threads) {
  if (!program_.looks_ahead)
    return std::ranges::any_of(threads, [&](const Thread& t) { return program_.ends[t.pc] != 0; });
  const auto matches = [&](std::uint32_t pc) {
    return std::ranges::any_of(closed(pc, false, true), [&](std::uint32_t item) {
      return program_.code[item].op == Op::kMatchAll || program_.code[item].op == Op::kMatch;
    });
  };
  for (const Thread& thread : threads) {
    if (!std::ranges::all_of(thread.ahead, matches) || std::ranges::any_of(thread.not_ahead, matches)) continue;
    Threads ends;
    close({thread.pc, {}, {}}, false, true, ends);
    for (const Thread& end : ends) {
      const Op op = program_.code[end.pc].op;
      const bool is_match = op == Op::kMatch || op == Op::kMatchAll;
      if (is_match && std::ranges::all_of(end.ahead, matches) && std::ranges::none_of(end.not_ahead, matches))
        return true;
    }
  }
  return false;
}

// --- Steps ---

void LazyDfa::step_plain(const Threads& threads, std::uint8_t byte, Threads& out) {
  ++closure_;
  for (const Thread& thread : threads) {
    const Instruction& i = program_.code[thread.pc];
    if (i.op == Op::kMatchAll) out.push_back(thread);
    if (i.op == Op::kByte && i.first <= byte && byte <= i.last) close_plain(i.next, out);
  }
}

// Each way in which all of `ahead` can go on; an empty list is one way.
std::vector<std::vector<std::uint32_t>> LazyDfa::step_ahead(const std::vector<std::uint32_t>& ahead,
                                                            std::uint8_t byte) {
  std::vector<std::vector<std::uint32_t>> ways{{}};
  for (const std::uint32_t pc : ahead) {
    const Instruction& i = program_.code[pc];
    if (i.op != Op::kByte || byte < i.first || byte > i.last) return {};
    const std::vector<std::uint32_t> items = closed(i.next, false, false);
    if (std::ranges::any_of(items, [&](std::uint32_t item) { return program_.code[item].op == Op::kMatchAll; }))
      continue;
    std::vector<std::vector<std::uint32_t>> longer;
    for (const auto& way : ways) {
      for (const std::uint32_t item : items) {
        longer.push_back(way);
        add_sorted(longer.back(), item);
      }
    }
    ways = std::move(longer);
  }
  return ways;
}

// False where something that must not match does.
bool LazyDfa::step_not_ahead(const std::vector<std::uint32_t>& from, std::uint8_t byte,
                             std::vector<std::uint32_t>& to) {
  for (const std::uint32_t pc : from) {
    const Instruction& i = program_.code[pc];
    if (i.op != Op::kByte || byte < i.first || byte > i.last) continue;
    for (const std::uint32_t item : closed(i.next, false, false)) {
      if (program_.code[item].op == Op::kMatchAll) return false;
      add_sorted(to, item);
    }
  }
  return true;
}

void LazyDfa::step_thread(const Thread& thread, std::uint8_t byte, Threads& out) {
  const Instruction& i = program_.code[thread.pc];
  const bool goes_on = i.op == Op::kMatchAll || (i.op == Op::kByte && i.first <= byte && byte <= i.last);
  std::vector<std::uint32_t> not_ahead;
  if (!goes_on || !step_not_ahead(thread.not_ahead, byte, not_ahead)) return;
  for (auto& ahead : step_ahead(thread.ahead, byte)) {
    close({i.op == Op::kMatchAll ? thread.pc : i.next, std::move(ahead), not_ahead}, false, false, out);
  }
}

std::uint32_t LazyDfa::find_next(std::uint32_t state, std::uint8_t byte) {
  Threads threads;
  const Threads from = states_[state].threads;
  if (!program_.looks_ahead) {
    step_plain(from, byte, threads);
  } else {
    for (const Thread& thread : from) step_thread(thread, byte, threads);
  }
  const std::uint32_t to = intern(std::move(threads));
  next_[state * num_classes_ + class_[byte]] = to;
  return to;
}

std::uint32_t LazyDfa::intern(Threads threads) {
  std::ranges::sort(threads);
  threads.erase(std::ranges::unique(threads).begin(), threads.end());
  const auto is_final = [&](const Thread& t) {
    return program_.code[t.pc].op == Op::kMatchAll && t.ahead.empty() && t.not_ahead.empty();
  };
  if (const auto found = std::ranges::find_if(threads, is_final); found != threads.end()) threads = {*found};
  if (threads.empty() || states_.size() >= max_states_) return kDead;
  const auto [found, is_new] = ids_.try_emplace(threads, static_cast<std::uint32_t>(states_.size()));
  const std::uint32_t id = found->second;
  if (!is_new) return id;
  StateInfo info{.threads = threads, .min = kNoBound};
  for (const Thread& thread : threads) {
    info.is_final = info.is_final || is_final(thread);
    info.min = std::min(info.min, program_.min_characters[thread.pc]);
    info.max = std::max(info.max, program_.max_characters[thread.pc]);
  }
  info.accepts = accepts_at_end(threads);
  states_.push_back(std::move(info));
  next_.resize(next_.size() + num_classes_, kUnknown);
  if (program_.looks_ahead && !can_reach_match(id)) {
    states_[id] = {};
    std::fill_n(next_.data() + std::size_t{id} * num_classes_, num_classes_, kDead);
    ids_[threads] = kDead;
    return kDead;
  }
  return id;
}

// By a search of the first few states. They are the threads' own: nothing is interned on the way.
bool LazyDfa::can_reach_match(std::uint32_t state) {
  std::set<Threads> seen{states_[state].threads};
  std::deque<Threads> todo{states_[state].threads};
  while (!todo.empty()) {
    const Threads at = std::move(todo.front());
    todo.pop_front();
    if (accepts_at_end(at)) return true;
    if (seen.size() > kMaxSearched) return true;
    for (const std::uint8_t byte : representatives_) {
      Threads to;
      for (const Thread& thread : at) step_thread(thread, byte, to);
      std::ranges::sort(to);
      to.erase(std::ranges::unique(to).begin(), to.end());
      if (!to.empty() && seen.insert(to).second) todo.push_back(std::move(to));
    }
  }
  return false;
}

}  // namespace caudal::grammar
