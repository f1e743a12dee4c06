// What is asked of one value: which schemas have to be decided for it, and how the answers follow from each other.
// Found while a machine runs; one thread.
#pragma once

#include <array>
#include <boost/container/small_vector.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/grammar/automata/bits.h"
#include "common/grammar/schema/schema.h"
#include "common/grammar/schema_machine/product.h"

namespace caudal::grammar {

// The answer of a schema to a value that is not read to its end.
enum class Answer : std::uint8_t { kNo, kYes, kOpen };

using Answers = boost::container::small_vector<Answer, 32>;

struct Goal;

// How an object's member or an array's item is read: its goal, and what its answers mean to the container's nodes.
struct Child {
  struct Use {
    std::uint32_t node;    // of the container's goal
    std::uint32_t output;  // of the child's
    bool counts;           // `contains`: a yes is counted; otherwise a no is the node's
  };
  const Goal* goal = nullptr;
  std::vector<Use> uses;
  std::vector<std::uint32_t> fails;  // nodes that forbid it
};

// The strings that the nodes of a goal allow.
struct StringPlan {
  struct Node {
    std::uint32_t node;
    std::vector<std::uint32_t> automata;  // of the product
    std::optional<std::uint32_t> group;
    std::uint32_t min_length;
    std::uint32_t max_length;
  };
  std::shared_ptr<Product> product;
  std::vector<Node> nodes;  // those that ask anything
  bool has_lengths = false;
  bool is_joint = false;         // all of several have to accept
  bool is_enumerated = false;    // only listed words are allowed
  std::uint32_t min_length = 0;  // of all together, if the goal is joint
  std::uint32_t max_length = kNoBound;
};

struct NumberPlan {
  struct Node {
    std::uint32_t node;
    NumberRule rule;
  };
  std::vector<Node> nodes;        // those that ask anything
  std::optional<NumberRule> all;  // of all of them together, where every one has to hold
  bool is_integer = false;        // to satisfy all, a number is written as an integer,
  bool allows_point = true;       // which may have a point,
  bool needs_text = false;        // and whether something is asked of it beyond that
};

struct ObjectPlan {
  struct Node {
    std::uint32_t node;
    const Schema* schema;
    WordSet required;
    std::uint32_t num_required;
    std::vector<std::pair<std::uint32_t, WordSet>> dependent_required;  // by word
  };
  std::shared_ptr<Product> product;                                // of keys; its words are the names
  std::vector<Node> nodes;                                         // those that ask anything
  std::vector<std::uint32_t> patterns;                             // of SchemaSet, by automaton of the product
  const Goal* names_goal = nullptr;                                // of keys as strings
  StringPlan names;                                                // which uses `product`, too
  std::vector<std::pair<std::uint32_t, std::uint32_t>> name_uses;  // node, output of names_goal
  std::size_t num_words = 0;                                       // of a WordSet
  // By word or none, matching patterns, names' answers.
  std::map<std::vector<std::uint32_t>, std::unique_ptr<Child>> children;
  std::vector<const Child*> child_of_word;
  std::vector<const Child*> child_of_pattern;  // of a key that matches only this one
  const Child* other_child = nullptr;          // of a key that is no name and matches none
  std::vector<const Child*> child_of_state;    // by the product's, where it depends on nothing else
};

struct ArrayPlan {
  std::vector<std::uint32_t> nodes;  // those that ask anything
  std::vector<std::uint32_t> unique_nodes;
  std::vector<std::uint32_t> containing_nodes;
  std::vector<std::unique_ptr<Child>> children;  // by index; the last one for all that follow
};

struct Goal {
  // The nodes that a node's answer follows from, as in Schema.
  struct Links {
    std::vector<std::uint32_t> all_of;
    std::vector<std::vector<std::uint32_t>> any_of;
    std::vector<std::vector<std::uint32_t>> one_of;
    std::vector<std::uint32_t> none_of;
    std::optional<std::uint32_t> condition;
    std::optional<std::uint32_t> consequence;
    std::optional<std::uint32_t> alternative;
    std::vector<std::pair<std::string, std::uint32_t>> dependent;
  };

  std::vector<SchemaId> outputs;       // what is asked
  std::vector<SchemaId> nodes;         // and what follows from it: children before parents
  std::vector<const Schema*> schemas;  // by node
  std::vector<std::uint32_t> output_nodes;
  std::map<SchemaId, std::uint32_t> node_of;
  std::vector<Links> links;
  bool has_links = false;
  bool has_dependent = false;
  bool is_joint = false;      // one output, and every node has to say yes for it
  std::size_t num_words = 0;  // of a set of nodes

  struct Start {
    std::vector<std::uint64_t> failed;   // nodes that forbid the type
    std::vector<std::uint64_t> settled;  // nodes that allow all values of it, as far as their own keywords go
    Answers outputs;
    bool has_no = false;
  };
  std::array<Start, 7> starts;  // by bit of ValueType

  // Built when first used.
  mutable std::unique_ptr<StringPlan> strings;
  mutable std::unique_ptr<NumberPlan> numbers;
  mutable std::unique_ptr<ObjectPlan> objects;
  mutable std::unique_ptr<ArrayPlan> arrays;
};

// The answers of all nodes from their own keywords' (`own`, by node, replaced). `has_key(name)` says whether the value
// is an object that has the key; only then do dependent schemas count.
using HasKey = std::function<bool(const std::string&)>;
void evaluate(const Goal& goal, const HasKey* has_key, bool is_whole, Answers& own);

// Makes goals and their plans.
class Goals {
 public:
  Goals(const SchemaSet& set, std::size_t max_states) : set_(set), max_states_(max_states) {}

  const Goal* goal(std::vector<SchemaId> outputs);
  StringPlan& strings(const Goal& goal);
  NumberPlan& numbers(const Goal& goal);
  ObjectPlan& objects(const Goal& goal);
  ArrayPlan& arrays(const Goal& goal);
  // Of an object: how the member is read whose key is this word (or none) and is accepted by these automata of the
  // product.
  const Child* member(const Goal& goal, std::optional<std::uint32_t> word, const std::vector<std::uint32_t>& accepted,
                      const std::vector<std::uint32_t>& refused_names);
  LazyDfa* automaton(std::uint32_t pattern);

 private:
  void close(Goal& goal);
  void link(Goal& goal);
  void find_starts(Goal& goal);
  StringPlan string_plan(const Goal& goal, std::vector<std::string> names, std::vector<std::uint32_t> patterns);
  std::unique_ptr<Child> item(const Goal& goal, const ArrayPlan& plan, std::size_t index);
  bool is_trivial(SchemaId id) const;

  const SchemaSet& set_;
  std::size_t max_states_;
  std::map<std::vector<SchemaId>, std::unique_ptr<Goal>> goals_;
  std::vector<std::unique_ptr<LazyDfa>> automata_;
};

}  // namespace caudal::grammar
