#include "common/command_line.h"

#include <gtest/gtest.h>

#include <fstream>

namespace caudal {
namespace {

// Parses words as a program with this one set of options would.
class CommandLineTest : public testing::Test {
 protected:
  CommandLineTest() {
    line_.add("--port", port_, "A port").within(0, 65535);
    line_.add("--share", share_).within(0.0, 1.0);
    line_.add("--names", names_).separated_by(',');
    line_.add_choice<Colour>("--colour", colour_, {{"red", Colour::kRed}, {"blue", Colour::kBlue}}, "One of two");
    line_.add_switch("!--no-cache", cache_, "No cache");
    line_.add_seconds("--lease-s", lease_, "A lease").within(0.1, 10.0);
    line_.add_bytes(
        "--memory", [this](std::size_t bytes) { bytes_ = bytes; }, "Memory");
    line_.add_function<std::string>(
        "--even", [](const std::string& word) { return word.size() % 2 ? "is odd" : ""; }, "");
    line_.add_config();
    line_.add_version("1.2.3");
  }
  Result<std::optional<std::string>> parse(std::vector<std::string> words) {
    words.insert(words.begin(), "program");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    return line_.parse(static_cast<int>(argv.size()), argv.data());
  }
  std::string complaint(std::vector<std::string> words) {
    const auto parsed = parse(std::move(words));
    return parsed ? "" : parsed.error().message;
  }

  enum class Colour { kRed, kBlue };
  CommandLine line_{"A program", "program"};
  int port_ = 80;
  double share_ = 0.5;
  std::vector<std::string> names_{"a"};
  Colour colour_ = Colour::kBlue;
  bool cache_ = true;
  std::chrono::milliseconds lease_{1500};
  std::size_t bytes_ = 0;
};

TEST_F(CommandLineTest, NothingGivenLeavesTheDefaults) {
  ASSERT_EQ(complaint({}), "");
  EXPECT_EQ(port_, 80);
  EXPECT_EQ(colour_, Colour::kBlue);
  EXPECT_TRUE(cache_);
  EXPECT_EQ(lease_.count(), 1500);
  EXPECT_FALSE(line_.given("--port"));
}

TEST_F(CommandLineTest, ValuesGoWhereTheyBelong) {
  ASSERT_EQ(complaint({"--port", "8000", "--share=0.25", "--names", "x,y", "--colour", "red", "--no-cache", "--lease-s",
                       "0.25", "--memory", "2MiB"}),
            "");
  EXPECT_EQ(port_, 8000);
  EXPECT_EQ(share_, 0.25);
  EXPECT_EQ(names_, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(colour_, Colour::kRed);
  EXPECT_FALSE(cache_);
  EXPECT_EQ(lease_.count(), 250);
  EXPECT_EQ(bytes_, 2U << 20);
  EXPECT_TRUE(line_.given("--port"));
}

TEST_F(CommandLineTest, WhatCannotBeIsRefusedByName) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"--port", "65536"},
                                                                 {"--port", "x"},
                                                                 {"--port"},
                                                                 {"--share", "1.5"},
                                                                 {"--colour", "green"},
                                                                 {"--lease-s", "0"},
                                                                 {"--memory", "much"},
                                                                 {"--even", "odd"}}) {
    EXPECT_NE(complaint(words).find(words.front()), std::string::npos) << words.front() << ": " << complaint(words);
  }
  EXPECT_NE(complaint({"--even", "odd"}).find("is odd"), std::string::npos);
  EXPECT_NE(complaint({"--unknown"}), "");
}

TEST_F(CommandLineTest, HelpShowsDefaultsAndVersionTheVersion) {
  const auto help = parse({"--help"});
  ASSERT_TRUE(help && help.value());
  for (const char* shown : {"--port INT:INT in [0 - 65535]=80", "=blue", "=1.5", "One of two"}) {
    EXPECT_NE(help.value()->find(shown), std::string::npos) << *help.value();
  }
  const auto version = parse({"--version"});
  ASSERT_TRUE(version && version.value());
  EXPECT_EQ(*version.value(), "1.2.3\n");
}

TEST_F(CommandLineTest, AFileSaysTheSameAndTheCommandLineWins) {
  const std::string path = testing::TempDir() + "command_line_test.toml";
  std::ofstream(path) << "port = 1\ncolour = \"red\"\n";
  ASSERT_EQ(complaint({"--config", path, "--port", "2"}), "");
  EXPECT_EQ(port_, 2);
  EXPECT_EQ(colour_, Colour::kRed);
  std::ofstream(path) << "prot = 1\n";
  EXPECT_NE(complaint({"--config", path}).find("prot"), std::string::npos);
}

}  // namespace
}  // namespace caudal
