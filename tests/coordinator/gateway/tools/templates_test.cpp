// Twenty answers for each of many chat templates: rendered as the model would write them, and parsed back. The set of
// templates lies beside the repository; without it there is nothing to test here (the other tests have their own).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>

#include "tests/coordinator/gateway/tools/conversations.h"
#include "tests/temporary_dir.h"

namespace caudal {
namespace {

using namespace test;

// Templates that print what cannot be read back as it was, with how many of the twenty.
const std::map<std::string, int> kUnreadable{
    {"axolotl__llama4", 6},                             // content between the marks of Python code
    {"llamacpp__MiniMax-M3", 2},                        // lists and objects as marks within marks
    {"llamacpp__NVIDIA-Nemotron-Nano-v2", 4},           // content inside reasoning that is not closed
    {"llamacpp__Qwen-QwQ-32B", 2},                      // content inside reasoning that is not closed
    {"vllm__tool_chat_template_gemma3_pythonic", 1},    // no comma between arguments
    {"vllm__tool_chat_template_glm4", 2},               // words of its own in front of the answer
    {"vllm__tool_chat_template_llama3.2_pythonic", 1},  // strings without quotes
    {"vllm__tool_chat_template_llama4_pythonic", 1},    // quotes in strings without a backslash
    {"vllm__tool_chat_template_toolace", 1},            // strings without quotes
};

struct Totals {
  int templates = 0, rendered = 0, right = 0, unprinted = 0, split = 0;
};

void check_template(const std::string& name, const ChatTemplate& chat_template, Totals& totals) {
  const OutputFormat& format = chat_template.output_format();
  ++totals.templates;
  int wrong = 0;
  for (const Conversation& conversation : conversations()) {
    auto written = write(chat_template, conversation, *format.tools);
    const bool printed = written && std::ranges::all_of(conversation.calls, [&](const json::value& each) {
                           return written->text.find(std::string(each.at(0).as_string())) != std::string::npos;
                         });
    if (!printed) {
      ++totals.unprinted;
      continue;
    }
    ++totals.rendered;
    damage(conversation, written->text);
    const ParserOptions options{.tools = true, .in_reasoning = ends_open(format, written->prompt), .known = known()};
    const ParsedOutput whole = parse(format, options, written->text, written->text.size(), 1);
    const std::string problem = verdict(conversation, written->text, whole);
    totals.right += problem.empty() ? 1 : 0;
    wrong += problem.empty() ? 0 : 1;
    if (!problem.empty()) std::cout << name << ": " << conversation.name << ": " << problem << "\n";
    bool same = shown(parse(format, options, written->text, 0, 1)) == shown(whole);
    for (std::size_t cut = 0; cut <= written->text.size(); ++cut) {
      same = same && shown(parse(format, options, written->text, cut, written->text.size())) == shown(whole);
    }
    totals.split += same ? 1 : 0;
    EXPECT_TRUE(same) << name << ": " << conversation.name;
  }
  const auto unreadable = kUnreadable.find(name);
  EXPECT_EQ(wrong, unreadable == kUnreadable.end() ? 0 : unreadable->second) << name;
}

TEST(Templates, WriteWhatIsReadBack) {
  const std::filesystem::path archive = CAUDAL_CHAT_TEMPLATES;
  if (!std::filesystem::exists(archive)) GTEST_SKIP() << "the set of templates is not here";
  const TemporaryDir dir;
  ASSERT_EQ(std::system(("tar -xJf '" + archive.string() + "' -C '" + dir.path().string() + "'").c_str()), 0);
  Totals totals;
  std::map<std::string, std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir.path())) {
    if (entry.is_regular_file()) files[entry.path().stem().string()] = entry.path();
  }
  for (const auto& [name, path] : files) {
    std::ifstream file(path);
    const auto parsed = ChatTemplate::parse(std::string(std::istreambuf_iterator<char>(file), {}));
    if (parsed.ok() && parsed.value().output_format().told) check_template(name, parsed.value(), totals);
  }
  std::cout << totals.templates << " templates: " << totals.right << " of " << totals.rendered
            << " conversations read back, " << totals.split << " the same at every split; " << totals.unprinted
            << " that the template does not print\n";
  EXPECT_GT(totals.templates, 100);
}

}  // namespace
}  // namespace caudal
