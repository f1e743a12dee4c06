// Which schemas are closed, and which stay as they are.
#include "coordinator/gateway/tools/closed_schema.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace caudal {
namespace {

namespace json = boost::json;

json::value closed(const char* schema) { return json::value(closed_schema(json::parse(schema).as_object())); }

void expect_unchanged(const char* schema) { EXPECT_EQ(closed(schema), json::parse(schema)); }

TEST(ClosedSchema, ClosesWhatListsItsProperties) {
  EXPECT_EQ(closed(R"({"type":"object","properties":{}})"),
            json::parse(R"({"type":"object","properties":{},"additionalProperties":false})"));
  EXPECT_EQ(closed(R"({"properties":{"a":{"properties":{"b":{}}},"c":{"items":{"properties":{"d":true}}}}})"),
            json::parse(R"({"properties":{"a":{"properties":{"b":{}},"additionalProperties":false},
                            "c":{"items":{"properties":{"d":true},"additionalProperties":false}}},"additionalProperties":false})"));
  EXPECT_EQ(closed(R"({"$defs":{"x":{"properties":{"a":{}}}},"properties":{"y":{"$ref":"#/$defs/x"}}})"),
            json::parse(R"({"$defs":{"x":{"properties":{"a":{}},"additionalProperties":false}},
                            "properties":{"y":{"$ref":"#/$defs/x"}},"additionalProperties":false})"));
  EXPECT_EQ(closed(R"({"anyOf":[{"properties":{"a":{}}},{"type":"string"}]})"),
            json::parse(R"({"anyOf":[{"properties":{"a":{}},"additionalProperties":false},{"type":"string"}]})"));
}

TEST(ClosedSchema, LeavesWhatSaysMore) {
  expect_unchanged(R"({"type":"object"})");
  expect_unchanged(R"({"properties":{"a":{}},"additionalProperties":true})");
  expect_unchanged(R"({"properties":{"a":{}},"additionalProperties":{"type":"integer"}})");
  expect_unchanged(R"({"properties":{"a":{}},"patternProperties":{"^x":{}}})");
  expect_unchanged(R"({"properties":{"a":{}},"minProperties":2})");
  expect_unchanged(R"({"properties":{"a":{}},"required":["a","b"]})");
  expect_unchanged(R"({"properties":{"a":{}},"enum":[{"b":1}]})");
  expect_unchanged(R"({"properties":{"a":{}},"anyOf":[{"properties":{"b":{}}},{"properties":{"c":{}}}]})");
}

TEST(ClosedSchema, LeavesWhatIsPutTogether) {
  expect_unchanged(R"({"properties":{"a":{}},"allOf":[{"properties":{"b":{}}}]})");
  expect_unchanged(R"({"properties":{"a":{"properties":{"b":{}},"if":{},"then":{"properties":{"c":{}}}}}})");
  expect_unchanged(R"({"$defs":{"x":{"properties":{"a":{}}}},"allOf":[{"$ref":"#/$defs/x"}]})");
}

}  // namespace
}  // namespace caudal
