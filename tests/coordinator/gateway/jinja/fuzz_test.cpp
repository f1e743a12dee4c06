// Mutated templates: whatever the text, parsing and rendering end with text or an error with a line.
#include <gtest/gtest.h>

#include <random>

#include "tests/coordinator/gateway/jinja/render.h"

namespace caudal::jinja {
namespace {

constexpr int kMutantsPerTemplate = 400;

std::string mutated(std::string text, const std::string& other, std::mt19937_64& random) {
  static const std::string kPieces[] = {
      "{%",    "%}",   "{{",       "}}",  "{#",     "#}",     "-",     "(",  ")",
      "[",     "]",    "'",        "\"",  "|",      ".",      ":",     "::", "\\",
      "if",    "else", "endif",    "for", "endfor", "is",     "not",   "in", "9999999999999999999",
      "1e999", "\xff", "\xe2\x82", "é",   "\r",     "\n",     "*",     "**", "//",
      "%",     "~",    "=",        ",",   "raw",    "endraw", "macro", "set"};
  const auto below = [&](std::size_t limit) { return limit == 0 ? 0 : static_cast<std::size_t>(random() % limit); };
  const std::size_t num_changes = 1 + below(4);
  for (std::size_t i = 0; i < num_changes; ++i) {
    const std::size_t at = below(text.size() + 1);
    switch (below(4)) {
      case 0:
        text.erase(at, 1 + below(12));
        break;
      case 1:
        text.insert(at, kPieces[below(std::size(kPieces))]);
        break;
      case 2:
        text.insert(at, text.substr(below(text.size()), below(60)));
        break;
      default:
        text.replace(at, below(30), other.substr(below(other.size()), below(60)));
        break;
    }
  }
  return text;
}

TEST(Fuzz, MutatedTemplatesEndInTextOrError) {
  const boost::json::object fixture = boost::json::parse(read_text(kReference + "families.json")).as_object();
  boost::json::object variables;
  variables["messages"] = fixture.at("conversations").as_object().at("tool");
  variables["tools"] = fixture.at("tools");
  variables["bos_token"] = "<s>";
  variables["eos_token"] = "</s>";
  const std::string names[] = {"llama2", "llama31", "mistral_v03", "qwen25", "qwen3", "parts"};
  std::mt19937_64 random(7);
  int num_rendered = 0;
  int num_failed = 0;
  for (const std::string& name : names) {
    const std::string source = read_text(kReference + "families/" + name + ".jinja");
    const std::string other = read_text(kReference + "families/parts.jinja");
    ASSERT_FALSE(source.empty());
    for (int i = 0; i < kMutantsPerTemplate; ++i) {
      const Outcome outcome = render(mutated(source, other, random), variables);
      outcome.ok ? ++num_rendered : ++num_failed;
      if (!outcome.ok) {
        EXPECT_FALSE(outcome.text.empty());
      }
      if (!outcome.ok && outcome.text != "the chat template is not valid UTF-8") {
        EXPECT_GT(outcome.line, 0);
      }
    }
  }
  EXPECT_GT(num_rendered, kMutantsPerTemplate / 4);  // else the mutants say nothing about rendering
  EXPECT_GT(num_failed, kMutantsPerTemplate);
}

}  // namespace
}  // namespace caudal::jinja
