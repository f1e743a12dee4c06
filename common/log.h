// Logging: one line per event on stderr, "time level role message". Arguments are formatted only when
// the level is on. Any thread. Format strings are fmt's.
#pragma once

#include <fmt/core.h>

#include <string_view>

namespace caudal {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

// Called once at start. `role` stands in every line, for example "coordinator" or "worker 1".
void log_init(std::string_view role, LogLevel level);
bool log_enabled(LogLevel level);
void log_write(LogLevel level, std::string_view message);

}  // namespace caudal

#define CAUDAL_LOG(level, ...)                                                              \
  do {                                                                                      \
    if (::caudal::log_enabled(level)) ::caudal::log_write(level, fmt::format(__VA_ARGS__)); \
  } while (false)
#define LOG_DEBUG(...) CAUDAL_LOG(::caudal::LogLevel::kDebug, __VA_ARGS__)
#define LOG_INFO(...) CAUDAL_LOG(::caudal::LogLevel::kInfo, __VA_ARGS__)
#define LOG_WARNING(...) CAUDAL_LOG(::caudal::LogLevel::kWarning, __VA_ARGS__)
#define LOG_ERROR(...) CAUDAL_LOG(::caudal::LogLevel::kError, __VA_ARGS__)
