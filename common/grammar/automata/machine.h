// What follows one output byte by byte: a pushdown automaton whose tables are built while it runs. A State is a small
// value; what it points to lies in an Arena and never changes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "common/grammar/automata/trie.h"

namespace caudal::grammar {

// Memory that is only added to, and given back from its end. A copy shares the blocks there are; a shared block is not
// written to any more.
class Arena {
 public:
  template <typename T>
  T* make(std::size_t count = 1) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= 8);
    return reinterpret_cast<T*>(take(count * sizeof(T)));
  }

  struct Mark {
    std::size_t num_blocks;
    std::size_t used;
  };
  Mark mark() const { return {blocks_.size(), used_}; }
  // Everything that was made since is gone.
  void release(Mark mark) {
    blocks_.resize(mark.num_blocks);
    used_ = mark.used;
  }

 private:
  static constexpr std::size_t kBlockBytes = 16384;
  std::byte* take(std::size_t bytes);

  std::vector<std::shared_ptr<std::byte[]>> blocks_;
  std::size_t used_ = kBlockBytes;  // of the last block
};

struct State {
  const void* frame = nullptr;  // the innermost of what is open
  const void* text = nullptr;   // of a number, or a machine's own
  std::uint64_t hash = 0;       // of the string at hand
  std::uint32_t product = 0;    // state of the automaton for the string at hand
  std::uint32_t count = 0;      // characters of the string, or bytes of white space
  std::uint32_t escape = 0;     // what is known of an escaped character
  std::uint32_t part = 0;       // of a machine made of others: which of them the rest is of
  std::uint8_t phase = 0;
  std::uint8_t lexical = 0;  // within a string or a number
  std::uint8_t flags = 0;
};

// How a mask can be made without trying each token.
struct MaskHint {
  enum class Kind : std::uint8_t {
    kNone,
    kWhole,   // the whole mask is a function of `key`
    kFree,    // in a string that may go on with any characters, `max_characters` at most
    kInside,  // in a string: whether a token stays in it is a function of `key`, and found by find_inside()
  };
  Kind kind = Kind::kNone;
  std::uint64_t key = 0;
  std::uint32_t max_characters = ~0U;
  bool is_near_limit = false;  // kInside: of tokens with many characters more may be forbidden than find_inside() says
};

class Machine {
 public:
  Machine() = default;
  virtual ~Machine() = default;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  virtual State start(Arena& arena) = 0;
  // The state after `byte`, or nothing where it is forbidden. `next` may be `state`'s copy.
  virtual bool step(const State& state, std::uint8_t byte, Arena& arena, State& next) = 0;
  virtual bool is_complete(const State& state, Arena& arena) = 0;
  virtual MaskHint hint(const State&) { return {}; }
  // Whether the byte begins white space or an escape that need not be written.
  virtual bool is_optional(const State&, std::uint8_t) { return false; }

  // --- After hint() gave kFree or kInside: strings without escapes, byte by byte ---
  // Adds a byte that stays in the string, allowed or not.
  virtual void add_inside(State&, std::uint8_t) {}
  // Sets the bits of the strings of `trie`, of whole characters without quotes and escapes, that the string may go on
  // with.
  virtual void find_inside(const State&, const Trie&, std::span<std::uint64_t>) {}
  // Whether it may go on with any string of these characters.
  virtual bool allows_inside(const State&, std::string_view) { return false; }
  // Equal for states behind whose closing quotes the same follows. Nothing: the string cannot end here.
  virtual std::optional<std::uint64_t> end_class(const State&) { return std::nullopt; }
};

}  // namespace caudal::grammar
