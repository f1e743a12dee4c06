// Schemas: against the naive reference, and by example.
#include "common/grammar/schema_machine/schema_machine.h"

#include <gtest/gtest.h>

#include "common/grammar/matcher.h"
#include "tests/common/grammar/accepts.h"
#include "tests/common/grammar/schema_machine/reference_validator.h"
#include "tests/common/grammar/small_vocabulary.h"

namespace caudal::grammar {
namespace {

namespace json = boost::json;

Result<std::shared_ptr<const Grammar>> compile(std::string_view schema) {
  return Grammar::compile(GrammarKind::kJsonSchema, schema);
}

bool accepts(std::string_view schema, std::string_view text) {
  const auto grammar = compile(schema);
  EXPECT_TRUE(grammar) << schema << ": " << grammar.error().message;
  return grammar && accepts(*grammar.value(), text);
}

// boost::json writes 1.0 as 1E0, which is right, and an exponent under a bound.
std::string text_of(const json::value& value) { return json::serialize(value); }

TEST(SchemaMachine, AgreesWithTheReference) {
  RandomJson random(1);
  int num_valid = 0;
  int num_checked = 0;
  for (int i = 0; i < 4000; ++i) {
    const json::value schema = random.schema(2);
    const auto grammar = compile(json::serialize(schema));
    if (!grammar) {
      ASSERT_EQ(grammar.error().message, "the schema: no value satisfies it") << json::serialize(schema);
      for (int n = 0; n < 20; ++n) {
        const json::value value = random.value(2);
        EXPECT_FALSE(is_valid(schema, value, schema)) << json::serialize(schema) << " and " << value;
      }
      continue;
    }
    for (int n = 0; n < 20; ++n) {
      const json::value value = random.value(3);
      const bool expected = is_valid(schema, value, schema);
      num_valid += expected ? 1 : 0;
      ++num_checked;
      EXPECT_EQ(accepts(*grammar.value(), text_of(value)), expected) << json::serialize(schema) << "\n"
                                                                     << text_of(value);
    }
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(num_valid, num_checked / 5);
  EXPECT_LT(num_valid, num_checked * 4 / 5);
}

// What a model writes that takes any allowed token is valid; and it finds a way to the end, but for the few schemas
// that ask the impossible of a value that has begun. Whether each bit of the mask says what accept() would.
void expect_exact(const Matcher& matcher, const std::vector<std::uint64_t>& mask, const std::string& where) {
  for (TokenId token = 0; token < static_cast<TokenId>(matcher.vocabulary().size()); ++token) {
    Matcher copy = matcher;
    EXPECT_EQ(copy.accept(token), has(mask, token)) << where << "|" << matcher.vocabulary().bytes(token);
  }
}

// A random walk over allowed tokens: whether it found an end, and its text.
struct Walk {
  bool has_ended = false;
  bool is_stuck = false;
  std::string text;
};

Walk walk(const std::shared_ptr<const Grammar>& grammar, const std::string& schema, RandomJson& random) {
  Matcher matcher(grammar, small_vocabulary());
  std::vector<std::uint64_t> mask(matcher.vocabulary().mask_words());
  Walk result;
  for (int n = 0; n < 60 && !matcher.has_ended() && !result.is_stuck; ++n) {
    matcher.fill_mask(mask);
    if (random.below(20) == 0) expect_exact(matcher, mask, schema + "\n" + result.text);
    std::vector<TokenId> allowed;
    for (TokenId token = 0; token < static_cast<TokenId>(matcher.vocabulary().size()); ++token) {
      if (has(mask, token)) allowed.push_back(token);
    }
    result.is_stuck = allowed.empty();
    if (result.is_stuck) break;
    const TokenId token = has(mask, 0) && random.below(3) == 0 ? 0 : allowed[random.below(allowed.size())];
    EXPECT_TRUE(matcher.accept(token)) << schema << "\n" << result.text;
    result.text += matcher.vocabulary().bytes(token);
  }
  result.has_ended = matcher.has_ended();
  return result;
}

// What a model writes that takes any allowed token is valid; and it finds a way on, but in a few schemas whose parts
// contradict each other.
TEST(SchemaMachine, MaskedWalksEndInValidDocuments) {
  RandomJson random(7);
  int num_ended = 0;
  int num_stuck = 0;
  for (int i = 0; i < 500; ++i) {
    const json::value schema = random.schema(2);
    const std::string text = json::serialize(schema);
    const auto grammar = compile(text);
    if (!grammar) continue;
    const Walk walked = walk(grammar.value(), text, random);
    num_stuck += walked.is_stuck ? 1 : 0;
    if (testing::Test::HasFailure()) return;
    if (!walked.has_ended) continue;
    ++num_ended;
    json::error_code ec;
    const json::value value = json::parse(walked.text, ec);
    ASSERT_FALSE(ec) << walked.text;
    EXPECT_TRUE(is_valid(schema, value, schema)) << text << "\n" << walked.text;
  }
  EXPECT_GT(num_ended, 200);
  EXPECT_LE(num_stuck, 20);
}

TEST(SchemaMachine, TakesEveryUsualLayout) {
  const char* schema =
      R"({"type":"object","properties":{"a":{"type":"array"},"b":{"type":"number"}},"required":["a","b"]})";
  EXPECT_TRUE(accepts(schema, R"({"b":1,"a":[1,2]})"));
  EXPECT_TRUE(accepts(schema, R"({"a": [1, 2], "b": -0.5e-3})"));
  EXPECT_TRUE(accepts(schema, "{\n    \"a\": [\n        1,\n        {}\n    ],\n    \"b\": 2\n}\n"));
  EXPECT_TRUE(accepts(schema, "{\r\n\t\"a\": [],\r\n\t\"b\": 2\r\n}"));
  EXPECT_FALSE(accepts(schema, "{\n\n\"a\":[],\"b\":1}"));
  EXPECT_FALSE(accepts(schema, R"({     "a":[],"b":1})"));
}

TEST(SchemaMachine, NoKeyComesTwice) {
  EXPECT_FALSE(accepts("{}", R"({"a":1,"a":2})"));
  EXPECT_FALSE(accepts("{}", R"({"a":1,"\u0061":2})"));
  EXPECT_TRUE(accepts("{}", R"({"a":1,"b":{"a":2}})"));
}

TEST(SchemaMachine, ReadsStringsByTheirValue) {
  EXPECT_TRUE(accepts(R"({"enum":["h\u00e9"]})", R"("h\u00e9")"));
  EXPECT_TRUE(accepts(R"({"enum":["h\u00e9"]})", "\"h\xC3\xA9\""));
  EXPECT_TRUE(accepts(R"({"pattern":"^.$","maxLength":1})", R"("\ud83d\ude00")"));
  EXPECT_FALSE(accepts(R"({"pattern":"^a+$"})", R"("\u0062")"));
  EXPECT_FALSE(accepts("{}", R"("\ud83d")"));
}

TEST(SchemaMachine, NumbersHaveTheirValue) {
  EXPECT_TRUE(accepts(R"({"type":"integer"})", "1.0"));
  EXPECT_TRUE(accepts(R"({"type":"integer"})", "1e2"));
  EXPECT_FALSE(accepts(R"({"type":"integer"})", "1.5"));
  EXPECT_FALSE(accepts(R"({"$schema":"http://json-schema.org/draft-04/schema#","type":"integer"})", "1.0"));
  EXPECT_TRUE(accepts(R"({"minimum":0,"maximum":1})", "1e-7"));
  EXPECT_FALSE(accepts(R"({"maximum":100})", "100.5"));
  EXPECT_TRUE(accepts(R"({"const":1})", "1.00"));
  EXPECT_FALSE(accepts(R"({"uniqueItems":true})", "[1,1.0]"));
  EXPECT_FALSE(accepts(R"({"uniqueItems":true})", R"([{"a":1,"b":[2]},{"b":[2],"a":1}])"));
}

TEST(SchemaMachine, FollowsReferences) {
  const char* tree =
      R"({"$defs":{"n":{"type":"object","properties":{"next":{"$ref":"#/$defs/n"}},"additionalProperties":false}},"$ref":"#/$defs/n"})";
  EXPECT_TRUE(accepts(tree, R"({"next":{"next":{}}})"));
  EXPECT_FALSE(accepts(tree, R"({"next":{"other":{}}})"));
  EXPECT_TRUE(accepts(R"({"$defs":{"a":{"$anchor":"x","type":"null"}},"$ref":"#x"})", "null"));
  EXPECT_TRUE(
      accepts(R"({"$id":"http://a.b/c/d","$defs":{"a":{"$id":"e","type":"null"}},"$ref":"http://a.b/c/e"})", "null"));
  EXPECT_FALSE(accepts(R"({"$defs":{"a/b~":{"type":"null"}},"$ref":"#/$defs/a~1b~0"})", "1"));
}

TEST(SchemaMachine, Formats) {
  const auto is = [](const char* format, const char* text) {
    return accepts(R"({"format":")" + std::string(format) + "\"}", "\"" + std::string(text) + "\"");
  };
  EXPECT_TRUE(is("date", "2024-02-29"));
  EXPECT_FALSE(is("date", "2023-02-29"));
  EXPECT_FALSE(is("date", "2024-04-31"));
  EXPECT_TRUE(is("date-time", "1998-12-31T23:59:60Z"));
  EXPECT_FALSE(is("date-time", "2024-01-01 10:00:00Z"));
  EXPECT_TRUE(is("ipv6", "::ffff:192.168.0.1"));
  EXPECT_FALSE(is("ipv6", "1::2::3"));
  EXPECT_TRUE(is("uri", "http://a.b/c?d#e"));
  EXPECT_FALSE(is("uri", "/a/b"));
  EXPECT_TRUE(is("uri-reference", "/a/b"));
  EXPECT_TRUE(is("uuid", "2EB8AA08-aa98-11ea-b4aa-73b441d16380"));
  EXPECT_TRUE(is("email", "joe.bloggs@example.com"));
  EXPECT_FALSE(is("email", "2962"));
  EXPECT_TRUE(is("nobody-defined-this", "anything"));
}

}  // namespace
}  // namespace caudal::grammar
