// Limits of the public interface that are not the bounds of a parameter (see parameters.h). Both gateways read them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace caudal {

inline constexpr std::int32_t kMaxBeams = 32;
inline constexpr std::int32_t kMaxChoices = 4096;  // prompts times n
inline constexpr std::size_t kMaxMessages = 8192;
inline constexpr std::size_t kMaxTools = 256;

inline constexpr std::int32_t kDefaultCompletionTokens = 16;
inline constexpr std::int32_t kDefaultMaxLogprobs = 20;  // of each token
inline constexpr std::int32_t kMaxBeamLogprobs = 20;

// HTTP framing.
inline constexpr std::size_t kMaxHeaderBytes = 16'384;
inline constexpr std::size_t kMaxHeaderLineBytes = 8'192;
inline constexpr std::size_t kMaxHeaderFields = 100;
inline constexpr std::size_t kDefaultMaxBodyBytes = 8'000'000;

// Events that wait for one slow client, per sequence of its request; more cancels it.
inline constexpr std::size_t kMaxWaitingEvents = 1024;

}  // namespace caudal
