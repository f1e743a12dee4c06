// What the chat template sees. JSON, because templates reach into it freely; its shape has been checked. Apart from
// ApiRequest, so that few files read Boost.JSON's headers.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace caudal {

struct ChatInput {
  boost::json::array messages;  // not empty; `content` is a string or null, tool arguments are objects
  boost::json::array tools;
  boost::json::object template_kwargs;
  bool add_generation_prompt = true;
  bool continue_final_message = false;
};

}  // namespace caudal
