// A mask is found by walking the tree of all tokens with the machine, which forbids most of them early. Where it does
// not, in strings, the tokens that stay in the string come from the vocabulary or the cache, and only those that end it
// are walked.
#include "common/grammar/matcher.h"

#include <algorithm>
#include <map>

#include "common/check.h"
#include "common/grammar/automata/bits.h"
#include "common/grammar/mask_cache.h"

namespace caudal::grammar {
namespace {

using Mask = std::span<std::uint64_t>;

void add(Mask mask, std::span<const std::uint64_t> other) {
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] |= other[i];
}

// Calls visit(value) for the values of every node that the machine reaches from `state`.
template <typename Visit>
void walk(Machine& machine, const Trie& trie, const State& state, Arena& arena, Visit&& visit) {
  struct Level {
    std::uint32_t end;
    State state;
  };
  const Arena::Mark mark = arena.mark();
  std::vector<Level> path{{trie.size(), state}};
  for (const std::uint32_t value : trie.values(0)) visit(value);
  const auto& nodes = trie.nodes();
  for (std::uint32_t node = 1; node < trie.size();) {
    while (path.back().end <= node) path.pop_back();
    path.emplace_back();  // may move the others
    Level& level = path.back();
    if (!machine.step(path[path.size() - 2].state, nodes[node].byte, arena, level.state)) {
      path.pop_back();
      node = nodes[node].end;
      continue;
    }
    for (const std::uint32_t value : trie.values(node)) visit(value);
    level.end = nodes[node].end;
    ++node;
  }
  arena.release(mark);
}

// The tokens without escapes that stay in the string.
std::vector<std::uint64_t> find_inside(Machine& machine, const TokenVocabulary& vocabulary, const State& state) {
  std::vector<std::uint64_t> inside(vocabulary.mask_words(), 0);
  for (const TokenVocabulary::Slice& slice : vocabulary.slices()) {
    if (!slice.alphabet.empty() && machine.allows_inside(state, slice.alphabet)) {
      add(inside, slice.mask);
    } else {
      machine.find_inside(state, slice.trie, inside);
    }
  }
  return inside;
}

}  // namespace

Matcher::Matcher(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenVocabulary> vocabulary)
    : grammar_(std::move(grammar)),
      vocabulary_(std::move(vocabulary)),
      machine_(grammar_->machine()),
      cache_(std::make_shared<MaskCache>()) {
  history_.push_back(machine_->start(arena_));
  marks_.push_back(arena_.mark());
}

bool Matcher::accept(TokenId token) {
  if (ended_ || token < 0 || static_cast<std::size_t>(token) >= vocabulary_->size()) return false;
  State state = history_.back();
  if (vocabulary_->is_end(token)) {
    if (!is_complete()) return false;
    ended_ = true;
  } else if (vocabulary_->bytes(token).empty() || !advance(vocabulary_->bytes(token), state)) {
    return false;
  }
  history_.push_back(state);
  marks_.push_back(arena_.mark());
  return true;
}

bool Matcher::advance(std::string_view bytes, State& state) {
  const Arena::Mark mark = arena_.mark();
  for (const char byte : bytes) {
    State next;
    if (!machine_->step(state, static_cast<std::uint8_t>(byte), arena_, next)) {
      arena_.release(mark);
      return false;
    }
    state = next;
  }
  return true;
}

void Matcher::rollback(std::size_t num_tokens) {
  CHECK(num_tokens < history_.size());
  if (num_tokens == 0) return;
  history_.resize(history_.size() - num_tokens);
  marks_.resize(history_.size());
  arena_.release(marks_.back());
  ended_ = false;
}

bool Matcher::is_complete() {
  const Arena::Mark mark = arena_.mark();
  const bool result = !ended_ && machine_->is_complete(history_.back(), arena_);
  arena_.release(mark);
  return result;
}

void Matcher::fill_mask(std::span<std::uint64_t> mask) {
  CHECK(mask.size() == vocabulary_->mask_words());
  std::ranges::fill(mask, 0);
  if (ended_) return;
  const State& state = history_.back();
  const MaskHint hint = machine_->hint(state);
  switch (hint.kind) {
    case MaskHint::Kind::kFree:
      vocabulary_->add_inside(hint.max_characters, mask);
      add_walk(vocabulary_->escaped_closings(), mask);
      add_closings(mask);
      break;
    case MaskHint::Kind::kInside:
      fill_inside(hint, mask);
      add_walk(vocabulary_->escapes(), mask);
      add_closings(mask);
      break;
    case MaskHint::Kind::kWhole:
      fill_whole(hint, mask);
      break;
    case MaskHint::Kind::kNone:
      add_walk(vocabulary_->trie(), mask);
      break;
  }
  if (!is_complete()) return;
  for (const TokenId token : vocabulary_->end_tokens()) add_bit(mask.data(), static_cast<std::size_t>(token));
}

void Matcher::add_walk(const Trie& trie, std::span<std::uint64_t> mask) {
  walk(*machine_, trie, history_.back(), arena_, [&](std::uint32_t token) { add_bit(mask.data(), token); });
}

void Matcher::fill_inside(const MaskHint& hint, std::span<std::uint64_t> mask) {
  const std::vector<std::uint64_t>* inside = cache_->find(hint.key);
  if (inside == nullptr) inside = cache_->insert(hint.key, find_inside(*machine_, *vocabulary_, history_.back()));
  add(mask, *inside);
  if (!hint.is_near_limit) return;
  for (const TokenVocabulary::Closing& token : vocabulary_->long_tokens()) {
    State state = history_.back();
    if (has_bit(mask.data(), token.token) && !advance(vocabulary_->bytes(static_cast<TokenId>(token.token)), state))
      mask[token.token / 64] &= ~(std::uint64_t{1} << (token.token % 64));
  }
}

// The tokens that end the string. What may follow is found once for each class of ends.
void Matcher::add_closings(std::span<std::uint64_t> mask) {
  const Trie& trie = vocabulary_->closing_texts();
  const auto& nodes = trie.nodes();
  std::map<std::uint64_t, std::vector<std::uint64_t>> followers;  // closings by class, as bits
  std::vector<std::pair<std::uint32_t, State>> path{{trie.size(), history_.back()}};
  const Arena::Mark mark = arena_.mark();
  for (std::uint32_t node = 1; node < trie.size();) {
    while (path.back().first <= node) path.pop_back();
    const State& state = path.back().second;
    if (nodes[node].byte != '"') {
      State next = state;
      machine_->add_inside(next, nodes[node].byte);
      path.emplace_back(nodes[node].end, next);
      ++node;
      continue;
    }
    if (const auto end_class = machine_->end_class(state)) {
      const auto [found, is_new] = followers.try_emplace(*end_class);
      if (is_new) found->second = find_followers(state);
      for (std::uint32_t below = node; below < nodes[node].end && !found->second.empty(); ++below) {
        for (const std::uint32_t closing : trie.values(below)) {
          if (has_bit(found->second.data(), closing)) add_bit(mask.data(), vocabulary_->closings()[closing].token);
        }
      }
    }
    node = nodes[node].end;
  }
  arena_.release(mark);
}

// The closings whose rest may follow when the string ends in this state, as bits; empty where it cannot.
std::vector<std::uint64_t> Matcher::find_followers(const State& state) {
  State closed;
  if (!machine_->step(state, '"', arena_, closed)) return {};
  std::vector<std::uint64_t> followers(vocabulary_->closings().size() / 64 + 1, 0);
  walk(*machine_, vocabulary_->rests(), closed, arena_,
       [&](std::uint32_t closing) { add_bit(followers.data(), closing); });
  return followers;
}

void Matcher::fill_whole(const MaskHint& hint, std::span<std::uint64_t> mask) {
  const std::vector<std::uint64_t>* whole = cache_->find(hint.key);
  if (whole != nullptr) return add(mask, *whole);
  add_walk(vocabulary_->trie(), mask);
  cache_->insert(hint.key, {mask.begin(), mask.end()});
}

std::string Matcher::forced(std::size_t max_bytes) {
  std::string result;
  const Arena::Mark mark = arena_.mark();
  State state = history_.back();
  while (result.size() < max_bytes && !machine_->is_complete(state, arena_)) {
    int only = -1;
    State then;
    for (int byte = 0; byte < 256 && only != -2; ++byte) {
      State next;
      if (machine_->is_optional(state, static_cast<std::uint8_t>(byte))) continue;
      if (!machine_->step(state, static_cast<std::uint8_t>(byte), arena_, next)) continue;
      only = only == -1 ? byte : -2;
      then = next;
    }
    if (only < 0) break;
    result += static_cast<char>(only);
    state = then;
  }
  arena_.release(mark);
  return result;
}

}  // namespace caudal::grammar
