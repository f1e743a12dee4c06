// What schemas are refused, and where the error says it is.
#include "common/grammar/schema/compiler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ctime>

namespace caudal::grammar {
namespace {

TEST(SchemaCompiler, NamesThePlace) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"({"properties":{"a/b":{"unevaluatedItems":false}}})",
       "/properties/a~1b/unevaluatedItems: this keyword is not supported"},
      {R"({"items":{"$dynamicRef":"#x"}})", "/items/$dynamicRef: this keyword is not supported"},
      {R"({"anyOf":[{},{"pattern":"(?<=a)b"}]})", "/anyOf/1/pattern: look-behind is not supported at character 5"},
      {R"({"$ref":"other.json"})", "/$ref: names nothing in this document"},
      {R"({"type":"strnig"})", "/type: is not a type of JSON"},
      {R"({"format":"regex"})", "/format: this format is not supported"},
      {R"({"minLength":-1})", "/minLength: must be a whole number from 0 on"},
      {R"({"maximum":"1"})", "/maximum: must be a number"},
      {R"({"required":[1]})", "/required: must be a list of strings"},
      {R"({"allOf":[]})", "/allOf: must not be empty"},
      {R"({"multipleOf":0})", "/multipleOf: must be above 0"},
      {R"({"properties":{"a":1}})", "/properties/a: a schema must be an object, or true or false"},
      {R"({"$ref":"#"})", "the schema: refers to itself without an end"},
      {R"({"$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"}]}},"$ref":"#/$defs/a"})",
       "/$defs/a: refers to itself without an end"},
      {R"({"$schema":"http://json-schema.org/draft-03/schema#"})", "/$schema: is not a draft from 4 to 2020-12"}};
  for (const auto& [schema, message] : cases) {
    const auto set = compile_schema(schema, {});
    ASSERT_FALSE(set) << schema;
    EXPECT_EQ(set.error().message, message);
    EXPECT_TRUE(message.starts_with(set.error().field.empty() ? "the schema" : set.error().field)) << set.error().field;
  }
}

TEST(SchemaCompiler, KnowsTheDrafts) {
  const auto types = [](const std::string& draft, const std::string& rest) {
    const auto set =
        compile_schema(R"({"$schema":"http://json-schema.org/)" + draft + R"(/schema#",)" + rest + "}", {});
    EXPECT_TRUE(set) << set.error().message;
    return set.value().schemas[set.value().root];
  };
  EXPECT_TRUE(types("draft-04", R"("minimum":1,"exclusiveMinimum":true)").number.excludes_min);
  EXPECT_EQ(types("draft-04", R"("const":1)").types, kAnyType);  // unknown to it
  EXPECT_EQ(types("draft-06", R"("const":null)").types, kNull);
  EXPECT_EQ(types("draft-07", R"("items":[{},{}])").prefix.size(), 2U);
  EXPECT_EQ(types("draft-07", R"("$ref":"#/definitions/a","type":"null","definitions":{"a":{}})").types, kAnyType);
  EXPECT_EQ(types("draft/2020-12", R"("$ref":"#/$defs/a","type":"null","$defs":{"a":{}})").types, kNull);
}

TEST(SchemaCompiler, KnowsWhatCannotBe) {
  const auto types = [](const std::string& schema) {
    const auto set = compile_schema(schema, {});
    EXPECT_TRUE(set) << set.error().message;
    return static_cast<int>(set.value().schemas[set.value().root].types);
  };
  EXPECT_EQ(types(R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})"), 0);
  EXPECT_EQ(types(R"({"type":"object","required":["a"],"additionalProperties":false})"), 0);
  EXPECT_EQ(types(R"({"allOf":[{"type":"string"},{"type":["string","null"]}]})"), kString);
  EXPECT_EQ(types(R"({"type":"array","items":false,"minItems":1})"), 0);
  EXPECT_EQ(types(R"({"enum":["abc"],"maxLength":2})"), 0);
  EXPECT_EQ(types(R"({"type":"array","items":{"enum":[1,2]},"uniqueItems":true,"minItems":3})"), 0);
}

// Each within 100 ms of the CPU, accepted or not. Slower where nothing is optimised.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
constexpr double kMaxMs = 5000;
#else
constexpr double kMaxMs = 100;
#endif

double ms_of(const std::string& schema) {
  const std::clock_t begin = std::clock();
  (void)compile_schema(schema, {});
  return 1000.0 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

std::string repeated(std::size_t n, const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < n; ++i) result += (i == 0 ? "" : ",") + text;
  return result;
}

TEST(SchemaCompiler, BombsTakeLittle) {
  ms_of(R"({"format":"date"})");  // the formats are compiled once
  EXPECT_LT(ms_of(std::string(500'000, '[') + std::string(500'000, ']')), kMaxMs);
  std::string deep = "{}";
  for (int i = 0; i < 120; ++i) deep = R"({"not":)" + deep + "}";
  EXPECT_LT(ms_of(deep), kMaxMs);
  EXPECT_LT(ms_of(R"({"allOf":[)" + repeated(1000, R"({"properties":{"a":{"type":"string"}}})") + "]}"), kMaxMs);
  EXPECT_LT(ms_of(R"({"anyOf":[)" + repeated(80'000, "{}") + "]}"), kMaxMs);
  EXPECT_LT(ms_of(R"({"minItems":1000000000,"maxItems":1000000000,"items":{"type":"null"}})"), kMaxMs);
  EXPECT_LT(ms_of(R"({"pattern":"((a{1000}){1000}){1000}"})"), kMaxMs);
  EXPECT_LT(ms_of(R"({"pattern":"(a|aa)*(a|aa)*(a|aa)*$|^(x+x+)+y"})"), kMaxMs);
  std::string values;
  for (int i = 0; i < 60'000; ++i) values += fmt::format("{}\"value {}\"", i == 0 ? "" : ",", i * 7919 % 60'000);
  EXPECT_LT(ms_of(R"({"enum":[)" + values + "]}"), kMaxMs);
  std::string chain;
  for (int i = 0; i < 5000; ++i) chain += fmt::format(R"("d{}":{{"$ref":"#/$defs/d{}"}},)", i, i + 1);
  EXPECT_LT(ms_of(R"({"$ref":"#/$defs/d0","$defs":{)" + chain + R"("d5000":{"type":"null"}}})"), kMaxMs);
  std::string wide = R"({"$defs":{"d0":{"type":"null"})";
  std::string names;
  for (int i = 1; i < 8000; ++i) wide += fmt::format(R"(,"d{}":{{"$ref":"#/$defs/d{}"}})", i, i - 1);
  wide += R"(},"properties":{"x":{})";
  for (int i = 0; i < 8000; ++i) wide += fmt::format(R"(,"p{}":{{"$ref":"#/$defs/d{}"}})", i, i);
  for (int i = 0; i < 8000; ++i) names += fmt::format("{}\"p{}\"", i == 0 ? "" : ",", i);
  EXPECT_LT(ms_of(wide + R"(},"required":[)" + names + "]}"), kMaxMs);
  EXPECT_LT(ms_of(R"({"pattern":"($|a|^b){20000}"})"), kMaxMs);
}

}  // namespace
}  // namespace caudal::grammar
