// What a chat template wants of messages, found out once at load: which form of content it prints, and whether it knows
// the role `developer`. Pure.
#pragma once

#include <array>
#include <boost/json/fwd.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace caudal {

// The content of a message: a string, or a list of parts ({"type":"text","text":...}).
enum class ContentForm : std::uint8_t { kString, kParts, kEither };

struct TemplateTraits {
  // Of messages by a role. A role that no template knows is treated as the user's.
  ContentForm content_form(std::string_view role) const;

  std::array<ContentForm, 4> forms{};  // in the order of kProbedRoles
  bool knows_developer = false;        // else its messages are the system's
};

inline constexpr std::array<std::string_view, 4> kProbedRoles{"user", "system", "assistant", "tool"};

// Renders a conversation; `tools` is null for a chat without them.
using RenderProbe =
    std::function<Result<std::string>(const boost::json::array& messages, const boost::json::array* tools)>;

// Renders short conversations and looks for their words. A form is taken for one that the template prints when the
// words come out, and not as the text of a list. `source` is one that can be parsed.
TemplateTraits find_traits(std::string_view source, const RenderProbe& render);

}  // namespace caudal
