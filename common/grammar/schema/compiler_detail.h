// The parts of the compiler of schemas. They throw Refusal, which compile_schema() catches.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/grammar/automata/limits.h"
#include "common/grammar/schema/references.h"
#include "common/grammar/schema/schema.h"

namespace caudal::grammar {

struct Refusal {
  std::string message;
  std::string pointer;
};

// A schema object with the keywords that its draft knows; each access checks the type.
class Keywords {
 public:
  Keywords(const boost::json::object& object, const SchemaPlace& place, Draft draft)
      : object_(object), place_(place), draft_(draft) {}

  // Null where the keyword is absent, or from another draft.
  const boost::json::value* find(std::string_view name) const;
  std::optional<std::uint32_t> count(
      std::string_view name) const;  // a whole number from 0 on; large ones are kNoBound - 1
  std::optional<Decimal> number(std::string_view name) const;
  std::optional<std::string_view> text(std::string_view name) const;
  const boost::json::object* object(std::string_view name) const;
  const boost::json::array* array(std::string_view name) const;
  std::vector<std::string> names(const boost::json::value& value,
                                 const std::string& pointer) const;  // a list of strings
  bool flag(std::string_view name) const;

  Draft draft() const { return draft_; }
  const SchemaPlace& place() const { return place_; }
  std::string pointer(std::string_view name) const { return place_.pointer + pointer_part(name); }
  [[noreturn]] void fail(std::string_view name, std::string message) const {
    throw Refusal{std::move(message), pointer(name)};
  }

 private:
  const boost::json::object& object_;
  const SchemaPlace& place_;
  Draft draft_;
};

Decimal decimal_of(const boost::json::value& number);

class SchemaCompiler {
 public:
  SchemaCompiler(const boost::json::value& root, Draft draft, const GrammarLimits& limits);
  SchemaSet compile() &&;

 private:
  SchemaId add(Schema schema, const std::string& pointer);
  SchemaId compile_place(const SchemaPlace& place);
  // Of the value of a keyword, or below it.
  SchemaId sub(const Keywords& from, const boost::json::value& value, std::string pointer);
  std::optional<SchemaId> sub(const Keywords& from, std::string_view name);
  std::vector<SchemaId> subs(const Keywords& from, std::string_view name);
  void compile_pending();
  void fill(SchemaId id, const SchemaPlace& place);

  void read_references(const Keywords& from, Schema& schema);
  void read_types(const Keywords& from, Schema& schema);
  void read_string(const Keywords& from, Schema& schema);
  void read_number(const Keywords& from, Schema& schema);
  void read_array(const Keywords& from, Schema& schema);
  void read_items(const Keywords& from, Schema& schema);
  void read_object(const Keywords& from, Schema& schema);
  void read_dependencies(const Keywords& from, Schema& schema);
  void read_applicators(const Keywords& from, Schema& schema);
  void read_values(const Keywords& from, Schema& schema);
  void restrict_to(const std::vector<const boost::json::value*>& values, const std::string& pointer, Schema& schema);
  SchemaId constant(const boost::json::value& value, const std::string& pointer);
  std::uint32_t pattern(std::string_view expression, const std::string& pointer);
  std::uint32_t add_pattern(std::shared_ptr<const RegexProgram> program);

  Draft draft_;
  const GrammarLimits& limits_;
  const boost::json::value& root_;
  References references_;
  SchemaSet set_;
  std::vector<std::string> pointers_;  // by schema
  std::unordered_map<const boost::json::value*, SchemaId> ids_;
  std::unordered_map<std::string, std::uint32_t> patterns_;
  std::vector<std::pair<SchemaId, SchemaPlace>> pending_;
};

// What follows from all schemas together (simplify.cpp): in-place cycles are refused at the pointer of a schema on
// them, and what no value can satisfy gets no types.
void simplify(SchemaSet& set, const std::vector<std::string>& pointers, std::size_t max_states);

}  // namespace caudal::grammar
