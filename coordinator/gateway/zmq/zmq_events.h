// Answers as messages of gateway.proto, serialized. The counterpart of openai_response; belongs to one request.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/gateway/generation/generation.h"

namespace caudal {

std::string error_event(std::uint64_t tag, const ApiError& error);
std::string aborted_event(std::uint64_t tag);  // cancelled before it started: finished without choices
std::string status_event(std::uint64_t tag, bool ready, const GenerationContext& context);

class EventWriter {
 public:
  // `request` and `model` outlive it.
  EventWriter(std::uint64_t tag, const ApiRequest& request, const GatewayModel& model);

  std::string accepted() const;
  // Nothing when not streaming: the delta is kept for finished(). Finish reasons are kept always.
  std::vector<std::string> delta(const ChoiceDelta& delta);
  // Choices without a finish reason so far end as "abort".
  std::string finished(const Usage& usage);

 private:
  const std::uint64_t tag_;
  const ApiRequest& request_;
  const GatewayModel& model_;
  const std::string id_;
  std::vector<ChoiceDelta> choices_;  // text and logprobs only when not streaming
};

}  // namespace caudal
