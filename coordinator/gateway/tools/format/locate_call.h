// Where a call stands in a rendered probe, and how its name and its arguments are written there.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "coordinator/gateway/tools/format/output_format.h"

namespace caudal {

struct LocatedCall {
  std::size_t begin = 0;  // of the object, or of the name
  std::size_t end = 0;    // behind the object, or behind the arguments
  CallElement::Kind arguments = CallElement::Kind::kObject;
  std::string between{};  // name and arguments, where they are apart
  ObjectForm object{};
  ParameterForm parameters{};
  LooseForm loose{};
};

// The call of the probe's function `index`. None: the text does not hold it.
std::optional<LocatedCall> locate_call(std::string_view text, std::size_t index);

}  // namespace caudal
