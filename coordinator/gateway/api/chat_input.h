// What the chat template sees. JSON, because templates reach into it freely; its shape has been checked. Apart from
// ApiRequest, so that few files read Boost.JSON's headers.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>

namespace caudal {

struct ChatInput {
  // Not empty. Each has a `role` and a `content`, a string or a list of text parts; tool arguments are objects; no
  // member is null.
  boost::json::array messages;
  boost::json::array tools;
  boost::json::object template_kwargs;
  std::string reasoning_effort;  // a variable of the template, too; "": not given
  bool add_generation_prompt = true;
  bool continue_final_message = false;
};

}  // namespace caudal
