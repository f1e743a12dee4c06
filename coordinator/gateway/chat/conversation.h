// Messages as clients send them -> as one template wants them.
#pragma once

#include <boost/json/fwd.hpp>

#include "coordinator/gateway/chat/template_traits.h"

namespace caudal {

// Content takes the form that the template prints: parts are joined by newlines where it wants a string, a string
// becomes a part where it wants parts. `developer` becomes `system` unless the template knows it. Each message has a
// role, and a content that is a string or a list of text parts.
void fit_to_template(const TemplateTraits& traits, boost::json::array& messages);

// Writes the arguments of calls as JSON text, for templates that want it.
void write_arguments(boost::json::array& messages);

// Appends to the text of a message's content, that of the last part if it has several.
void append_to_content(boost::json::object& message, std::string_view text);

}  // namespace caudal
