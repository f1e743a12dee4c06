// Against Python's jinja2, whose results tests/reference/templates/make_templates.py recorded.
#include <gtest/gtest.h>

#include "tests/coordinator/gateway/jinja/render.h"

namespace caudal::jinja {
namespace {

namespace json = boost::json;

TEST(Differential, ModelFamilies) {
  const json::object fixture = json::parse(read_text(kReference + "families.json")).as_object();
  for (const json::value& entry : fixture.at("cases").as_array()) {
    const json::object& test = entry.as_object();
    const std::string name(test.at("template").as_string());
    json::object variables = test.at("extra").as_object();
    variables["messages"] = fixture.at("conversations").as_object().at(test.at("messages").as_string());
    variables["tools"] = test.at("tools").as_bool() ? fixture.at("tools") : json::value(nullptr);
    variables["add_generation_prompt"] = test.at("prompt");
    variables["bos_token"] = "<s>";
    variables["eos_token"] = "</s>";
    variables["documents"] = nullptr;
    const Outcome outcome = render(read_text(kReference + "families/" + name + ".jinja"), variables);
    SCOPED_TRACE(name + " over " + std::string(test.at("messages").as_string()) + ": " + outcome.text);
    EXPECT_EQ(outcome.ok, test.contains("out"));
    EXPECT_EQ(outcome.raised, test.contains("raised"));
    if (test.contains("out")) {
      EXPECT_EQ(outcome.text, test.at("out").as_string());
    }
    if (test.contains("raised")) {
      EXPECT_EQ(outcome.text, test.at("raised").as_string());
    }
  }
}

TEST(Differential, RandomTemplates) {
  const json::object fixture = json::parse(read_text(kReference + "random.json")).as_object();
  const json::object& context = fixture.at("context").as_object();
  for (const json::value& entry : fixture.at("cases").as_array()) {
    const json::array& test = entry.as_array();  // source, output or null, message of raise_exception
    const std::string source(test[0].as_string());
    const Outcome outcome = render(source, context);
    SCOPED_TRACE(source + "\n=> " + outcome.text);
    EXPECT_EQ(outcome.ok, test[1].is_string());
    EXPECT_EQ(outcome.raised, test.size() > 2);
    if (test[1].is_string()) {
      EXPECT_EQ(outcome.text, test[1].as_string());
    }
    if (test.size() > 2) {
      EXPECT_EQ(outcome.text, test[2].as_string());
    }
  }
}

}  // namespace
}  // namespace caudal::jinja
