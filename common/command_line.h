// A program's command line: its options, what they may be, where their values go. --help, and where it is asked for a
// TOML file with the same names. CLI11 does the work, behind this wall because its headers take ten seconds to compile.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/result.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace caudal {

class CommandLine {
 public:
  class Option {
   public:
    Option& required();
    template <std::integral T>
    Option& within(T least, T most) {
      return within_integers(least, most);
    }
    Option& within(double least, double most);
    Option& positive();
    Option& not_negative();
    Option& one_of(const std::vector<std::string>& words);
    Option& existing_file();
    Option& existing_path();
    Option& transformed(const std::function<std::string(std::string)>& transform);  // before it is checked
    Option& separated_by(char delimiter);
    Option& may_repeat();                           // of a list: its values are those of all times
    Option& shown_as(const std::string& standard);  // the default in --help; "" = none
    Option& excludes(const Option& other);
    Option& needs(const Option& other);

   private:
    friend class CommandLine;
    explicit Option(CLI::Option* option) : option_(option) {}
    Option& within_integers(std::int64_t least, std::int64_t most);

    CLI::Option* option_;
  };

  explicit CommandLine(const std::string& description, const std::string& name = "");
  ~CommandLine();

  // `names` as in "--port", or "suite" for a word without a dash. The value is the default, and stays unless the option
  // is given. T: bool (true or false), integers, floats, std::string, std::filesystem::path, and vectors of int,
  // double, string.
  template <typename T>
  Option add(const std::string& names, T& value, const std::string& help = "");

  // The value goes to a function, which answers with what is wrong with it, or "". T: std::int32_t, double,
  // std::string, std::vector<std::string>.
  template <typename T>
  Option add_function(const std::string& names, std::function<std::string(const T&)> take, const std::string& help);

  // "!--no-x" makes it false.
  Option add_switch(const std::string& names, bool& value, const std::string& help);

  // Words for values; `value` is one of them.
  template <typename T>
  Option add_choice(const std::string& names, T& value, std::vector<std::pair<std::string, T>> choices,
                    const std::string& help) {
    std::vector<std::string> words;
    std::string standard;
    for (const auto& [word, meaning] : choices) {
      words.push_back(word);
      if (meaning == value) standard = word;
    }
    const auto take = [&value, choices = std::move(choices)](const std::string& given) -> std::string {
      for (const auto& [word, meaning] : choices) {
        if (word == given) value = meaning;
      }
      return "";
    };
    return add_function<std::string>(names, take, help).one_of(words).shown_as(standard);
  }

  // Such as 512MiB.
  Option add_bytes(const std::string& names, const std::function<void(std::size_t)>& take, const std::string& help);
  Option add_seconds(const std::string& names, std::chrono::milliseconds& value, const std::string& help);

  void add_log_level(LogLevel& level);
  void add_version(const std::string& version);
  void add_config();  // --config FILE; unknown names in it are errors

  bool given(const std::string& name) const;

  // What --help or --version print, when there is nothing to run; or what is wrong.
  Result<std::optional<std::string>> parse(int argc, char** argv);

  // The same for programs that say it themselves: empty, or the exit code to end with.
  std::optional<int> parse_or_say(int argc, char** argv);
  int refuse(const std::string& problem) const;  // says it, as parse_or_say() does; the exit code

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace caudal
