// The strict JSON door: what it accepts, what it refuses, and that refusing is quick.
#include "common/json/strict_json.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <chrono>
#include <string>

namespace caudal {
namespace {

std::string repeat(std::string_view text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

TEST(StrictJson, KeepsWhatIsValid) {
  const std::string text =
      R"({"a":[1,-2,18446744073709551615,0.5,true,false,null],"b":{"c":"\u00e4\ud83d\ude00\n"},"":""})";
  const auto value = parse_strict_json(text);
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(value.value().at("a").as_array().size(), 7U);
  EXPECT_EQ(value.value().at("a").as_array()[2].as_uint64(), 18446744073709551615ULL);
  EXPECT_EQ(value.value().at("b").at("c").as_string(), "ä😀\n");
}

TEST(StrictJson, DepthEndsAt64) {
  EXPECT_TRUE(parse_strict_json(repeat("[", 64) + repeat("]", 64)).ok());
  EXPECT_FALSE(parse_strict_json(repeat("[", 65) + repeat("]", 65)).ok());
  EXPECT_FALSE(parse_strict_json(repeat("{\"a\":", 1000000)).ok());
}

TEST(StrictJson, RefusesWhatCouldBeReadTwoWays) {
  const std::string cases[] = {"",
                               " ",
                               "{",
                               "nul",
                               "NaN",
                               "Infinity",
                               "-",
                               "01",
                               "+1",
                               "1.",
                               ".5",
                               "[1,]",
                               "{\"a\":1,}",
                               "{a:1}",
                               "'a'",
                               "1 2",
                               "{} {}",
                               "// x\n1",
                               "\xEF\xBB\xBF{}",
                               "\"a\nb\"",
                               std::string("\"a\0b\"", 5),
                               "\"\\u0000\"",
                               "{\"\\u0000\":1}",
                               "\"\\ud800\"",
                               "\"\\udc00\"",
                               "\"\\ud800\\u0041\"",
                               "\"\xff\"",
                               "\"\xc3\"",
                               "\"\xed\xa0\x80\"",
                               "\"\xc0\x80\"",
                               "\"\xf5\x80\x80\x80\"",
                               "1e999",
                               "-1e999",
                               R"({"a":1,"a":2})",
                               R"({"a":1,"\u0061":2})",
                               R"([{"x":{"k":1,"k":1}}])"};
  for (const std::string& text : cases) {
    const auto value = parse_strict_json(text);
    EXPECT_FALSE(value.ok()) << text;
  }
}

TEST(StrictJson, NamesTheValueThatCannotBeRead) {
  const std::string long_key(65, 'k');
  const std::pair<std::string, std::string> cases[] = {
      {R"({"temperature":NaN})", "temperature"},
      {R"({"prompt":"a","temperature":-Infinity})", "temperature"},
      {R"({"max_tokens":1e400})", "max_tokens"},
      {R"({"max_tokens":1e99999999999})", "max_tokens"},
      {R"({"messages":[{"role":"user","content":NaN}]})", "messages[0].content"},
      {R"({"messages":[{},{"content":[{"type":"text","text":"a\u0000"}]}]})", "messages[1].content[0].text"},
      {"{\"prompt\":\"\xff\"}", "prompt"},
      {R"({"prompt":[1,[2,3],1e999]})", "prompt[2]"},
      {R"({"a":{"b":[1]},"c":true,"d":null,"e":-1,"f":1.5,"g":18446744073709551615,"h":nul})", "h"},
      {R"({"top_k"})", "top_k"},
      {R"({"logit_bias":{"5":NaN}})", "logit_bias.5"},
      {R"({"logit_bias":{"<b>":NaN}})", "logit_bias"},
      {R"({"outer":{"":{"inner":NaN}}})", "outer"},
      {R"({")" + long_key + R"(":NaN})", ""},
      {R"({")" + long_key.substr(1) + R"(":NaN})", long_key.substr(1)},
      {R"({"prompt":"a",})", ""},
      {R"({"prompt":"a" "b":1})", ""},
      {R"({"prompt":"a"} {})", ""},
      {R"({"prompt":"a)", ""},
      {"NaN", ""},
  };
  for (const auto& [text, path] : cases) {
    const auto value = parse_strict_json(text);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.error().field, path) << text;
  }
}

TEST(StrictJson, BoundsTheMembersOfAnObject) {
  const auto object = [](std::size_t num_members) {
    std::string text = "{";
    for (std::size_t i = 0; i < num_members; ++i) {
      text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":0";
    }
    return text + "}";
  };
  EXPECT_TRUE(parse_strict_json(object(4096)).ok());
  EXPECT_FALSE(parse_strict_json(object(4097)).ok());
  EXPECT_TRUE(parse_strict_json(object(4097), kFileJson).ok());
}

// A vocabulary has more entries than any request, and tokens may hold any character.
TEST(StrictJson, FilesMayHoldMore) {
  const auto value = parse_strict_json("[\"a\\u0000\"]", kFileJson);
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(value.value().at(0).as_string().size(), 2U);
  EXPECT_FALSE(parse_strict_json(R"({"a":1,"a":2})", kFileJson).ok());
  EXPECT_FALSE(parse_strict_json(repeat("[", 33) + repeat("]", 33), kFileJson).ok());
}

TEST(StrictJson, LargeInputsTakeLinearTime) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(parse_strict_json("\"" + repeat("\\u00e4", 1300000) + "\"").ok());
  EXPECT_TRUE(parse_strict_json("[" + repeat("[],", 2600000) + "0]").ok());
  EXPECT_TRUE(parse_strict_json(repeat("1", 300)).ok());
  EXPECT_FALSE(parse_strict_json(repeat("1", 400)).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(8));
}

TEST(StrictJson, WritesStringsThatComeBack) {
  const std::string text = "q\" b\\ n\n t\t c\x01 ä😀";
  std::string out;
  append_json_string(out, text);
  EXPECT_EQ(parse_strict_json(out).value().as_string(), text);
}

}  // namespace
}  // namespace caudal
