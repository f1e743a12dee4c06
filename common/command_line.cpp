#include "common/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <sstream>

namespace caudal {

using Option = CommandLine::Option;

CommandLine::CommandLine(const std::string& description, const std::string& name)
    : app_(std::make_unique<CLI::App>(description, name)) {
  app_->option_defaults()->always_capture_default();
}
CommandLine::~CommandLine() = default;

// --- Options ---

Option& Option::required() {
  option_->required();
  return *this;
}
Option& Option::within(double least, double most) {
  option_->check(CLI::Range(least, most));
  return *this;
}
Option& Option::within_integers(std::int64_t least, std::int64_t most) {
  option_->check(CLI::Range(least, most));
  return *this;
}
Option& Option::positive() {
  option_->check(CLI::PositiveNumber);
  return *this;
}
Option& Option::not_negative() {
  option_->check(CLI::NonNegativeNumber);
  return *this;
}
Option& Option::one_of(const std::vector<std::string>& words) {
  option_->check(CLI::IsMember(words).description(""));
  return *this;
}
Option& Option::existing_file() {
  option_->check(CLI::ExistingFile);
  return *this;
}
Option& Option::existing_path() {
  option_->check(CLI::ExistingPath);
  return *this;
}
Option& Option::transformed(const std::function<std::string(std::string)>& transform) {
  option_->transform(transform);
  return *this;
}
Option& Option::separated_by(char delimiter) {
  option_->delimiter(delimiter);
  return *this;
}
Option& Option::may_repeat() {
  option_->take_all();
  return *this;
}
Option& Option::shown_as(const std::string& standard) {
  option_->default_str(standard);
  return *this;
}
Option& Option::excludes(const Option& other) {
  option_->excludes(other.option_);
  return *this;
}
Option& Option::needs(const Option& other) {
  option_->needs(other.option_);
  return *this;
}

// --- The command line ---

template <typename T>
Option CommandLine::add(const std::string& names, T& value, const std::string& help) {
  Option option(app_->add_option(names, value, help));
  return option.option_->get_default_str() == "[]" ? option.shown_as("") : option;
}
template Option CommandLine::add(const std::string&, bool&, const std::string&);
template Option CommandLine::add(const std::string&, std::uint16_t&, const std::string&);
template Option CommandLine::add(const std::string&, std::int32_t&, const std::string&);
template Option CommandLine::add(const std::string&, std::int64_t&, const std::string&);
template Option CommandLine::add(const std::string&, std::uint64_t&, const std::string&);
template Option CommandLine::add(const std::string&, double&, const std::string&);
template Option CommandLine::add(const std::string&, float&, const std::string&);
template Option CommandLine::add(const std::string&, std::string&, const std::string&);
template Option CommandLine::add(const std::string&, std::filesystem::path&, const std::string&);
template Option CommandLine::add(const std::string&, std::vector<std::int32_t>&, const std::string&);
template Option CommandLine::add(const std::string&, std::vector<double>&, const std::string&);
template Option CommandLine::add(const std::string&, std::vector<std::string>&, const std::string&);

template <typename T>
Option CommandLine::add_function(const std::string& names, std::function<std::string(const T&)> take,
                                 const std::string& help) {
  const auto checked = [names, take = std::move(take)](const T& value) {
    if (const std::string problem = take(value); !problem.empty()) throw CLI::ValidationError(names, problem);
  };
  return Option(app_->add_option_function<T>(names, checked, help));
}
template Option CommandLine::add_function(const std::string&, std::function<std::string(const std::int32_t&)>,
                                          const std::string&);
template Option CommandLine::add_function(const std::string&, std::function<std::string(const double&)>,
                                          const std::string&);
template Option CommandLine::add_function(const std::string&, std::function<std::string(const std::string&)>,
                                          const std::string&);
template Option CommandLine::add_function(const std::string&,
                                          std::function<std::string(const std::vector<std::string>&)>,
                                          const std::string&);

Option CommandLine::add_switch(const std::string& names, bool& value, const std::string& help) {
  return Option(app_->add_flag(names, value, help));
}

Option CommandLine::add_bytes(const std::string& names, const std::function<void(std::size_t)>& take,
                              const std::string& help) {
  return Option(app_->add_option_function<std::size_t>(names, take, help)->transform(CLI::AsSizeValue(false)));
}

Option CommandLine::add_seconds(const std::string& names, std::chrono::milliseconds& value, const std::string& help) {
  const std::string standard = fmt::format("{}", static_cast<double>(value.count()) / 1000.0);
  const auto take = [&value](double seconds) {
    value = std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000.0));
  };
  return Option(app_->add_option_function<double>(names, take, help)->default_str(standard));
}

void CommandLine::add_log_level(LogLevel& level) {
  add_choice<LogLevel>("--log-level", level,
                       {{"debug", LogLevel::kDebug},
                        {"info", LogLevel::kInfo},
                        {"warning", LogLevel::kWarning},
                        {"error", LogLevel::kError}},
                       "debug, info, warning or error");
}

void CommandLine::add_version(const std::string& version) { app_->set_version_flag("--version", version); }

void CommandLine::add_config() {
  app_->set_config("--config", "", "TOML file with the same names as these options");
  app_->allow_config_extras(CLI::config_extras_mode::error);
}

bool CommandLine::given(const std::string& name) const { return app_->count(name) > 0; }

Result<std::optional<std::string>> CommandLine::parse(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream said, wrong;
    if (app_->exit(error, said, wrong) == 0) return std::optional(said.str());
    return Error{error.what(), "flags"};
  }
  return std::optional<std::string>();
}

std::optional<int> CommandLine::parse_or_say(int argc, char** argv) {
  const Result<std::optional<std::string>> parsed = parse(argc, argv);
  if (!parsed) return refuse(parsed.error().message);
  if (!parsed.value()) return std::nullopt;
  fmt::print("{}", *parsed.value());
  return 0;
}

int CommandLine::refuse(const std::string& problem) const {
  fmt::print(stderr, "{}\nRun with --help for more information.\n", problem);
  return 1;
}

}  // namespace caudal
