#include "coordinator/gateway/api/api_request.h"

#include "coordinator/gateway/api/chat_input.h"

namespace caudal {

ApiRequest::ApiRequest() = default;
ApiRequest::ApiRequest(ApiRequest&&) noexcept = default;
ApiRequest::~ApiRequest() = default;

}  // namespace caudal
