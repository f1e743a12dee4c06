#include "coordinator/gateway/http/answer_writer.h"

#include "coordinator/gateway/http/anthropic_response.h"
#include "coordinator/gateway/http/openai_response.h"

namespace caudal {

std::unique_ptr<AnswerWriter> make_answer_writer(const ApiRequest& request, const GatewayModel& model,
                                                 const std::string& unique, std::int64_t created) {
  if (request.style == AnswerStyle::kAnthropic) return std::make_unique<AnthropicResponse>(request, model, unique);
  return std::make_unique<OpenAiResponse>(request, model, unique, created);
}

std::string error_body(AnswerStyle style, const ApiError& error) {
  return style == AnswerStyle::kAnthropic ? anthropic_error_json(error) : error_json(error);
}

}  // namespace caudal
