// Reading with the path of what is wrong.
#include "common/json/json_node.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <functional>

namespace caudal {
namespace {

const boost::json::value& document() {
  static const boost::json::value value = boost::json::parse(R"({"n":3,"real":2.5,"none":null,"zero":0,"text":"t",
    "deep":{"list":[{"x":true},"word"]}})");
  return value;
}

TEST(JsonNode, ReadsTypedMembersAndTakesNullForAbsent) {
  const JsonNode root(document(), "file.json");
  EXPECT_EQ(root.count("n"), 3);
  EXPECT_EQ(root.count("none", 7), 7);
  EXPECT_EQ(root.positive("real"), 2.5);
  EXPECT_EQ(root.positive("absent", 1.5), 1.5);
  EXPECT_EQ(root.text("text", ""), "t");
  EXPECT_FALSE(root.has("none"));
  EXPECT_TRUE(root.at("deep").at("list").at(std::size_t{0}).flag("x", false));
}

TEST(JsonNode, ErrorsNameFilePathAndProblem) {
  const JsonNode root(document(), "file.json");
  const auto list = [&] { return root.at("deep").at("list"); };
  const std::pair<std::function<void()>, std::string> cases[] = {
      {[&] { root.at("absent"); }, "absent is missing"},
      {[&] { root.count("none"); }, "none is missing"},
      {[&] { root.count("zero"); }, "zero must be an integer from 1 to 2147483647"},
      {[&] { root.count("real"); }, "real must be an integer from 1 to 2147483647"},
      {[&] { root.positive("zero"); }, "zero must be a number above 0"},
      {[&] { root.positive("text"); }, "text must be a number"},
      {[&] { root.flag("n", false); }, "n must be true or false"},
      {[&] { root.text("n", ""); }, "n must be a string"},
      {[&] { root.at("n").size(); }, "n must be a list"},
      {[&] { list().at(std::size_t{1}).find("x"); }, "deep.list[1] must be an object"},
      {[&] { list().at(std::size_t{0}).at("x").string(); }, "deep.list[0].x must be a string"},
      {[&] { list().fail_at(std::size_t{5}, "is odd"); }, "deep.list[5] is odd"},
      {[&] { root.fail_at("n", "is odd"); }, "n is odd"}};
  for (const auto& [read, expected] : cases) {
    try {
      read();
      FAIL() << expected;
    } catch (const JsonError& error) {
      EXPECT_EQ(error.in_file().message, "file.json: " + expected);
      EXPECT_EQ(error.in_file().field, expected.substr(0, expected.find(' ')));
    }
  }
}

}  // namespace
}  // namespace caudal
