// Limits of the public interface that are not the range of a parameter (see parameters.h). Both gateways read them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace caudal {

// Lists and texts.
inline constexpr std::size_t kMaxStopStrings = 16;
inline constexpr std::size_t kMaxStopStringBytes = 1024;
inline constexpr std::size_t kMaxStopTokenIds = 256;
inline constexpr std::size_t kMaxLogitBias = 1024;
inline constexpr std::int32_t kMaxBeams = 32;
inline constexpr std::size_t kMaxBadWords = 128;
inline constexpr std::size_t kMaxBadWordBytes = 256;
inline constexpr double kMaxLogitBiasValue = 100.0;
inline constexpr std::size_t kMaxPrompts = 64;
inline constexpr std::size_t kMaxChoices = 128;  // prompts times n
inline constexpr std::size_t kMaxMessages = 8192;
inline constexpr std::size_t kMaxTools = 256;
inline constexpr std::size_t kMaxNameBytes = 256;  // model, roles' names, ids
inline constexpr std::size_t kMaxCacheSaltBytes = 256;

inline constexpr std::int32_t kDefaultCompletionTokens = 16;

// HTTP framing.
inline constexpr std::size_t kMaxHeaderBytes = 16 * 1024;
inline constexpr std::size_t kMaxHeaderLineBytes = 8 * 1024;
inline constexpr std::size_t kMaxHeaderFields = 100;
inline constexpr std::size_t kDefaultMaxBodyBytes = 8 * 1000 * 1000;

// Events that wait for one slow client, per sequence of its request; more cancels it.
inline constexpr std::size_t kMaxWaitingEvents = 1024;

}  // namespace caudal
