// What holds the output, under every name that clients have for it.
#include "coordinator/gateway/api/output_shape.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "tests/coordinator/gateway/api/parse_request.h"

namespace caudal {
namespace {

ApiRequest taken(const std::string& fields) {
  Result<ApiRequest> request = parse_text(Endpoint::kCompletions, R"({"prompt":"a",)" + fields + "}");
  EXPECT_TRUE(request) << fields << ": " << request.error().field << " " << request.error().message;
  return request ? std::move(request).value() : ApiRequest();
}

Error refused(const std::string& fields) {
  const Result<ApiRequest> request = parse_text(Endpoint::kCompletions, R"({"prompt":"a",)" + fields + "}");
  EXPECT_FALSE(request) << fields;
  return request ? Error{} : request.error();
}

struct Shape {
  std::string fields;
  GrammarKind kind;
  std::string text;
  std::string field;
};

TEST(OutputShape, EveryNameOfEveryClient) {
  const std::string schema = R"({"type":"integer"})";
  const std::vector<Shape> shapes{
      {R"("response_format":{"type":"json_object"})", GrammarKind::kJsonSchema, R"({"type":"object"})",
       "response_format"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"integer"}}})",
       GrammarKind::kJsonSchema, schema, "response_format.json_schema.schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"n"}})", GrammarKind::kJsonSchema,
       R"({"type":"object"})", "response_format"},
      {R"("response_format":{"type":"json_object","schema":{"type":"integer"}})", GrammarKind::kJsonSchema, schema,
       "response_format.schema"},
      {R"("response_format":{"type":"regex","pattern":"a+"})", GrammarKind::kRegex, "a+", "response_format.pattern"},
      {R"("response_format":{"type":"grammar","grammar":"root ::= \"a\""})", GrammarKind::kGbnf, "root ::= \"a\"",
       "response_format.grammar"},
      {R"("response_format":{"type":"structural_tag","format":{"type":"any_text"}})", GrammarKind::kTags,
       R"({"type":"structural_tag","format":{"type":"any_text"}})", "response_format"},
      {R"("structured_outputs":{"json":{"type":"integer"}})", GrammarKind::kJsonSchema, schema,
       "structured_outputs.json"},
      {R"("structured_outputs":{"json":"{\"type\":\"integer\"}"})", GrammarKind::kJsonSchema, schema,
       "structured_outputs.json"},
      {R"("structured_outputs":{"regex":"a+"})", GrammarKind::kRegex, "a+", "structured_outputs.regex"},
      {R"("structured_outputs":{"choice":["a","b"]})", GrammarKind::kChoices, R"(["a","b"])",
       "structured_outputs.choice"},
      {R"("structured_outputs":{"grammar":"start: \"a\""})", GrammarKind::kLark, "start: \"a\"",
       "structured_outputs.grammar"},
      {R"("structured_outputs":{"json_object":true,"disable_fallback":true,"regex":null})", GrammarKind::kJsonSchema,
       R"({"type":"object"})", "structured_outputs.json_object"},
      {R"("structured_outputs":{"structural_tag":"{}"})", GrammarKind::kTags, "{}",
       "structured_outputs.structural_tag"},
      {R"("guided_json":{"type":"integer"})", GrammarKind::kJsonSchema, schema, "guided_json"},
      {R"("guided_json_object":true)", GrammarKind::kJsonSchema, R"({"type":"object"})", "guided_json_object"},
      {R"("guided_regex":"a+")", GrammarKind::kRegex, "a+", "guided_regex"},
      {R"("guided_choice":["a"])", GrammarKind::kChoices, R"(["a"])", "guided_choice"},
      {R"("guided_grammar":"root ::= \"a\"")", GrammarKind::kGbnf, "root ::= \"a\"", "guided_grammar"},
      {R"("grammar":"root ::= \"a\"")", GrammarKind::kGbnf, "root ::= \"a\"", "grammar"},
      {R"("json_schema":{"type":"integer"})", GrammarKind::kJsonSchema, schema, "json_schema"},
      {R"("regex":"a+")", GrammarKind::kRegex, "a+", "regex"},
      {R"("ebnf":"root ::= \"a\"")", GrammarKind::kGbnf, "root ::= \"a\"", "ebnf"},
      {R"("structural_tag":{"format":{}})", GrammarKind::kTags, R"({"format":{}})", "structural_tag"}};
  for (const Shape& shape : shapes) {
    const ApiRequest request = taken(shape.fields);
    EXPECT_EQ(request.params.sampling.grammar.kind, shape.kind) << shape.fields;
    EXPECT_EQ(request.params.sampling.grammar.text, shape.text) << shape.fields;
    EXPECT_EQ(request.grammar_field, shape.field) << shape.fields;
    EXPECT_TRUE(request.ignored_fields.empty()) << shape.fields;
  }
}

TEST(OutputShape, NoShape) {
  for (const char* fields : {R"("response_format":{"type":"text"})", R"("response_format":null)", R"("grammar":"")",
                             R"("guided_json_object":false)", R"("structured_outputs":{})", R"("regex":null)"})
    EXPECT_EQ(taken(fields).params.sampling.grammar.kind, GrammarKind::kNone) << fields;
}

TEST(OutputShape, IsRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"("response_format":"json")", "response_format"},
      {R"("response_format":{})", "response_format.type"},
      {R"("response_format":{"type":"xml"})", "response_format.type"},
      {R"("response_format":{"type":"json_schema"})", "response_format.json_schema"},
      {R"("response_format":{"type":"json_schema","json_schema":5})", "response_format.json_schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":5}})", "response_format.json_schema.schema"},
      {R"("response_format":{"type":"regex"})", "response_format.pattern"},
      {R"("structured_outputs":5)", "structured_outputs"},
      {R"("structured_outputs":{"xml":1})", "structured_outputs.xml"},
      {R"("structured_outputs":{"whitespace_pattern":" "})", "structured_outputs.whitespace_pattern"},
      {R"("structured_outputs":{"json":[]})", "structured_outputs.json"},
      {R"("structured_outputs":{"json":{},"regex":"a"})", "structured_outputs.regex"},
      {R"("guided_choice":"a")", "guided_choice"},
      {R"("guided_choice":[])", "guided_choice"},
      {R"("guided_choice":["a",""])", "guided_choice[1]"},
      {R"("regex":5)", "regex"},
      {R"("regex":"a","ebnf":"root ::= \"a\"")", "ebnf"},
      {R"("response_format":{"type":"json_object"},"guided_regex":"a")", "guided_regex"},
      {R"("guided_whitespace_pattern":" *")", "guided_whitespace_pattern"},
      {R"("use_beam_search":true,"n":2,"response_format":{"type":"json_object"})", "response_format"},
      {R"("use_beam_search":true,"n":2,"allowed_token_ids":[1])", "allowed_token_ids"},
      {R"("allowed_token_ids":[1000])", "allowed_token_ids[0]"},
      {R"("regex":"a+","ignore_eos":true,"stop_token_ids":[5])", "stop_token_ids"},
      {R"("allowed_token_ids":5)", "allowed_token_ids"}};
  for (const auto& [fields, field] : cases) EXPECT_EQ(refused(fields).field, field) << fields;
}

}  // namespace
}  // namespace caudal
