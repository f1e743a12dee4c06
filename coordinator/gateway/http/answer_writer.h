// What writes the answer to one request, whatever the API: one JSON object, or server-sent events. Text building only,
// no sockets.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "coordinator/gateway/api/api_error.h"
#include "coordinator/gateway/generation/choice.h"
#include "coordinator/gateway/generation/generation.h"

namespace caudal {

class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  // --- Streaming ---
  // The events for one delta.
  virtual void append_events(const ChoiceDelta& delta, std::string& out) = 0;
  // The events behind the last delta.
  virtual void append_end(const Usage& usage, std::string& out) = 0;
  // What went wrong in the middle of the stream. append_end() follows where the API wants it to.
  virtual void append_error(const ApiError& error, std::string& out) = 0;

  // --- Not streaming ---
  virtual void collect(ChoiceDelta delta) = 0;
  virtual std::string whole(const Usage& usage, std::int32_t num_choices) = 0;
};

// `request` and `model` outlive it. `unique` makes the answer's id; `created` in Unix seconds.
std::unique_ptr<AnswerWriter> make_answer_writer(const ApiRequest& request, const GatewayModel& model,
                                                 const std::string& unique, std::int64_t created);

// The body of an answer that is an error.
std::string error_body(AnswerStyle style, const ApiError& error);

}  // namespace caudal
