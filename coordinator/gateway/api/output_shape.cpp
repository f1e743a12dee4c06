#include "coordinator/gateway/api/output_shape.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <initializer_list>

#include "common/grammar/rules/ebnf_kind.h"

namespace caudal {
namespace {

namespace json = boost::json;

constexpr std::string_view kAnyObject = R"({"type":"object"})";

// How the value of a field is written.
enum class Form : std::uint8_t {
  kSchema,  // a JSON schema, or the text of one
  kRegex,
  kEbnf,     // GBNF or Lark's form
  kChoices,  // a list of texts
  kTags,     // structural tags, or the text of them
  kObject,   // true: any JSON object
};

struct ShapeField {
  std::string_view name;
  Form form;
};
constexpr ShapeField kFields[] = {{"guided_json", Form::kSchema},
                                  {"guided_regex", Form::kRegex},
                                  {"guided_grammar", Form::kEbnf},
                                  {"guided_choice", Form::kChoices},
                                  {"guided_json_object", Form::kObject},
                                  {"json_schema", Form::kSchema},
                                  {"grammar", Form::kEbnf},
                                  {"regex", Form::kRegex},
                                  {"ebnf", Form::kEbnf},
                                  {"structural_tag", Form::kTags}};
// Of structured_outputs.
constexpr ShapeField kStructured[] = {{"json", Form::kSchema},        {"regex", Form::kRegex},
                                      {"grammar", Form::kEbnf},       {"choice", Form::kChoices},
                                      {"json_object", Form::kObject}, {"structural_tag", Form::kTags}};

constexpr auto kNames = [] {
  std::array<std::string_view, std::size(kFields) + 2> names{"response_format", "structured_outputs"};
  std::ranges::transform(kFields, names.begin() + 2, &ShapeField::name);
  return names;
}();

std::string choices(const JsonNode& node) {
  if (!node.is_array() || node.size() == 0) node.fail("It must be a list of at least one text.");
  for (std::size_t i = 0; i < node.size(); ++i) {
    if (!node.at(i).is_string() || node.at(i).string().empty()) node.fail_at(i, "It must be a text that is not empty.");
  }
  return json::serialize(node.value());
}

// None where the value says that there is no shape.
std::optional<GrammarParams> read(Form form, const JsonNode& node) {
  switch (form) {
    case Form::kObject:
      if (!node.boolean()) return std::nullopt;
      return GrammarParams{GrammarKind::kJsonSchema, std::string(kAnyObject)};
    case Form::kChoices:
      return GrammarParams{GrammarKind::kChoices, choices(node)};
    case Form::kSchema:
    case Form::kTags: {
      const bool is_schema = form == Form::kSchema;
      const bool is_written = node.is_object() || (is_schema && node.value().is_bool());
      if (!is_written && !node.is_string()) node.fail("It must be an object, or the JSON text of one.");
      return GrammarParams{is_schema ? GrammarKind::kJsonSchema : GrammarKind::kTags,
                           is_written ? json::serialize(node.value()) : std::string(node.string())};
    }
    case Form::kRegex:
    case Form::kEbnf: {
      const std::string_view text = node.string();
      if (text.empty()) return std::nullopt;
      return GrammarParams{form == Form::kRegex ? GrammarKind::kRegex : kind_of_ebnf(text), std::string(text)};
    }
  }
  return std::nullopt;
}

class ShapeReader {
 public:
  explicit ShapeReader(ApiRequest& request) : request_(request) {}

  void take(const JsonNode& node, std::optional<GrammarParams> grammar) {
    if (!grammar) return;
    GrammarParams& own = request_.params.sampling.grammar;
    if (own.kind != GrammarKind::kNone) node.fail("The output can have one shape only; another field gives one, too.");
    own = std::move(*grammar);
    request_.grammar_field = node.path();
  }

  void take_fields(const JsonNode& object, std::span<const ShapeField> fields) {
    for (const ShapeField& field : fields) {
      if (const auto node = object.find(field.name)) take(*node, read(field.form, *node));
    }
  }

  void take_response_format(const JsonNode& format) {
    if (!format.is_object()) format.fail("It must be an object.");
    const std::string_view type = format.at("type").string();
    if (type == "text") return;
    if (type == "json_object" || type == "json_schema") return take_json(format, type);
    if (type == "structural_tag") return take(format, read(Form::kTags, format));
    if (type == "regex") return take(format.at("pattern"), read(Form::kRegex, format.at("pattern")));
    if (type == "grammar") return take(format.at("grammar"), read(Form::kEbnf, format.at("grammar")));
    format.fail_at("type", "It must be 'text', 'json_object', 'json_schema', 'structural_tag', 'regex' or 'grammar'.");
  }

 private:
  // The schema stands in `json_schema`, or as llama.cpp has it beside the type. Without one any object will do.
  void take_json(const JsonNode& format, std::string_view type) {
    std::optional<JsonNode> schema = format.find("schema");
    if (type == "json_schema") {
      const std::optional<JsonNode> described = format.find("json_schema");
      if (!described && !schema) format.fail_at("json_schema", "It is required.");
      if (described && !described->is_object()) described->fail("It must be an object.");
      if (described) schema = described->find("schema");
    }
    take(schema ? *schema : format,
         schema ? read(Form::kSchema, *schema) : GrammarParams{GrammarKind::kJsonSchema, std::string(kAnyObject)});
  }

  ApiRequest& request_;
};

// Whatever changes the output must be known.
void check_structured(const JsonNode& node) {
  if (!node.is_object()) node.fail("It must be an object.");
  constexpr std::string_view kWithoutEffect[] = {"disable_fallback", "_backend", "_backend_was_auto"};
  for (const auto& [name, value] : node.object()) {
    const std::string_view key = name;
    const bool is_known = std::ranges::find(kStructured, key, &ShapeField::name) != std::end(kStructured) ||
                          std::ranges::find(kWithoutEffect, key) != std::end(kWithoutEffect);
    const bool is_off = value.is_null() || (value.is_bool() && !value.get_bool());
    if (!is_known && !is_off) node.fail_at(key, "It is not supported by this server.");
  }
}

}  // namespace

void take_output_shape(const JsonNode& body, ApiRequest& request) {
  ShapeReader reader(request);
  if (const auto format = body.find("response_format")) reader.take_response_format(*format);
  if (const auto structured = body.find("structured_outputs")) {
    check_structured(*structured);
    reader.take_fields(*structured, kStructured);
  }
  reader.take_fields(body, kFields);
}

std::span<const std::string_view> output_shape_fields() { return kNames; }

}  // namespace caudal
