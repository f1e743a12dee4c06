// Follows a JSON document under a schema. All alternatives of the schema are followed at once: for each open object and
// array a frame knows which of its goal's nodes have failed, and a byte is refused when no answer to what is left could
// satisfy the root. Keys may come in any order; none comes twice.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/grammar/automata/json_string.h"
#include "common/grammar/automata/limits.h"
#include "common/grammar/automata/machine.h"
#include "common/grammar/schema_machine/goal.h"

namespace caudal::grammar {

// A hash in a list.
struct HashEntry {
  const HashEntry* before;
  std::uint64_t hash;
};

// An open object or array, or, outermost, the document.
struct Frame {
  enum class Kind : std::uint8_t { kDocument, kObject, kArray };

  const Frame* parent;
  const Goal* goal;                // of the object or array
  const Child* child;              // what is read next, or was read last
  const std::uint64_t* failed;     // nodes of the goal
  const std::uint64_t* seen;       // words that were keys
  const HashEntry* others;         // of other keys
  const HashEntry* items;          // of the items, where they must be unique
  const std::uint32_t* contained;  // how many items each of the plan's containing nodes counted
  std::uint64_t hash;              // of what was read
  std::uint64_t key_hash;
  std::uint32_t count;  // members, with the one whose key was read; or items
  std::uint16_t depth;
  Kind kind;
  bool is_hashed;  // its value or one around it must be unique
};

class SchemaMachine final : public Machine {
 public:
  SchemaMachine(std::shared_ptr<const SchemaSet> set, const GrammarLimits& limits);

  State start(Arena& arena) override;
  bool step(const State& state, std::uint8_t byte, Arena& arena, State& next) override;
  bool is_complete(const State& state, Arena& arena) override;
  MaskHint hint(const State& state) override;
  bool is_optional(const State& state, std::uint8_t byte) override;
  void add_inside(State& state, std::uint8_t byte) override;
  void find_inside(const State& state, const Trie& trie, std::span<std::uint64_t> mask) override;
  bool allows_inside(const State& state, std::string_view alphabet) override;
  std::optional<std::uint64_t> end_class(const State& state) override;

 private:
  enum class Phase : std::uint8_t {
    kValue,      // before a value
    kFirstItem,  // behind '['
    kFirstKey,   // behind '{'
    kNextKey,    // behind ',' in an object
    kKey,        // within a key
    kColon,      // behind a key
    kString,
    kNumber,
    kLiteral,     // null, true, false
    kAfterValue,  // behind a member, an item or the document
  };

  static const Frame& frame_of(const State& state) { return *static_cast<const Frame*>(state.frame); }
  static Phase phase_of(const State& state) { return static_cast<Phase>(state.phase); }
  static State at(const Frame* frame, Phase phase);

  // --- answers.cpp ---
  // Whether the root can still be satisfied when the value that is read in `frame` has these outputs.
  bool is_feasible(const Frame& frame, const Answers& outputs);
  // ... when these nodes of the frame have failed.
  bool is_feasible(const Frame& frame, const std::uint64_t* failed);
  bool can_begin(const Frame& frame);
  // Adds what the outputs, or the key, of the child in `frame` say of its nodes; true if that changed anything.
  bool add_failures(const Frame& frame, const Answers& outputs, std::uint64_t* failed);
  static bool add_failures(const Child& child, std::uint64_t* failed);
  static std::uint64_t* copy_failed(const Frame& frame, Arena& arena);
  static Answers own_answers(const Goal& goal, std::size_t type, const std::uint64_t* failed, Answer others);
  static Answers outputs_of(const Goal& goal, const Answers& nodes);
  // Of all nodes of an open object or array.
  void answer(const Frame& frame, bool is_whole, Answers& own);

  // --- values.cpp ---
  bool skip_space(const State& state, std::uint8_t byte, Arena& arena, State& next);
  bool may_close(const Frame& frame, Arena& arena);
  bool begin_value(const Frame& frame, std::uint8_t byte, Arena& arena, State& next);
  bool begin_container(const Frame& frame, bool is_object, Arena& arena, State& next);
  bool step_literal(const State& state, std::uint8_t byte, Arena& arena, State& next);
  bool end_value(const Frame& frame, const Answers& outputs, std::uint64_t hash, Arena& arena, State& next);
  bool step_after_value(const Frame& frame, std::uint8_t byte, Arena& arena, State& next);

  // --- strings.cpp ---
  bool begin_string(const Frame& frame, State& next);
  bool step_string_value(const State& state, std::uint8_t byte, Arena& arena, State& next);
  bool end_string(const State& state, Arena& arena, State& next);
  static void add_text(Product& product, const StringStep& read, State& next);
  bool allows_text(const Frame& frame, const Goal& goal, StringPlan& plan, const State& state);
  static Answers string_answers(const Goal& goal, const StringPlan& plan, std::uint32_t product, std::uint32_t count,
                                bool is_whole);
  bool is_unique(const Frame& frame);
  bool reaches_new_item(const Frame& frame, const StringPlan& plan, std::uint32_t product);
  static bool reaches_any(Product& product, const State& state, const std::function<bool(std::uint32_t)>& allows);
  static bool reaches_any(Product& product, std::uint32_t from, const Utf8Sequence& sequence, int index,
                          const std::function<bool(std::uint32_t)>& allows);
  static bool allows_lengths(const StringPlan& plan, std::uint32_t product, std::uint32_t count);
  bool allows_content(const Frame& frame, const Goal& goal, StringPlan& plan, const State& state);

  // --- hints.cpp ---
  MaskHint value_hint(const State& state);
  MaskHint key_hint(const State& state);
  std::optional<std::uint32_t> free_characters(const State& state, const Goal& goal, const StringPlan& plan);
  static bool is_far_from_limits(const StringPlan& plan, const State& state);
  std::uint64_t context_of(const Frame& frame);
  // Of a state within a string: its automata, and whether it is allowed.
  Product& product_of(const State& state);
  bool is_allowed_inside(const State& state);

  // --- objects.cpp ---
  bool begin_key(const Frame& frame, State& next);
  bool step_key(const State& state, std::uint8_t byte, Arena& arena, State& next);
  bool end_key(const State& state, Arena& arena, State& next);
  bool close_object(const Frame& frame, Arena& arena, State& next);
  const Child* child_at(const Goal& goal, const State& state);
  const Child* child_of_word(const Goal& goal, std::uint32_t word);
  const Child* child_of_other(const Frame& frame, std::optional<std::uint32_t> pattern, std::uint32_t product,
                              std::uint32_t count);
  bool can_have(const Frame& frame, const Child& child, std::optional<std::uint32_t> word);
  bool fail_too_many(const Frame& frame, std::optional<std::uint32_t> word, std::uint64_t* failed);
  bool reaches_key(const Frame& frame, std::uint32_t product, std::uint32_t count);
  bool is_any_key_allowed(const Frame& frame);

  // --- arrays.cpp ---
  const Frame* next_item(const Frame& frame, Arena& arena);
  bool must_count(const Frame& frame, std::uint32_t node);
  bool end_item(const Frame& frame, const Answers& outputs, std::uint64_t hash, Arena& arena, State& next);
  bool close_array(const Frame& frame, Arena& arena, State& next);

  // --- numbers.cpp ---
  bool begin_number(const Frame& frame, std::uint8_t byte, Arena& arena, State& next);
  bool step_number(const State& state, std::uint8_t byte, Arena& arena, State& next);
  bool add_digit(std::uint8_t byte, Arena& arena, State& next);
  bool allows_number(const Frame& frame, const std::string& text, State& next);
  bool end_number(const State& state, Arena& arena, State& next);

  std::shared_ptr<const SchemaSet> set_;
  GrammarLimits limits_;
  Goals goals_;
  Child root_child_;
  // Of the hint that was asked last: whether a string is allowed whose automata are in a state, its lengths aside.
  std::vector<std::uint8_t> inside_allowed_;
};

std::uint64_t mix(std::uint64_t a, std::uint64_t b);

}  // namespace caudal::grammar
