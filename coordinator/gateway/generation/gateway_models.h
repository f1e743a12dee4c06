// The served models as the gateways know them: for each entry of the ModelRegistry its context, and what is made from
// it once. Built at start, then immutable; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/gateway/chat/model_context.h"
#include "coordinator/gateway/chat/prompt_encoder.h"
#include "coordinator/gateway/generation/output_plan.h"
#include "coordinator/gateway/generation/token_bytes.h"
#include "coordinator/request/model_registry.h"

namespace caudal {

struct GatewayModel {
  explicit GatewayModel(ModelContext model);

  const ModelContext context;
  const PromptEncoder encoder;
  const MarkTokens mark_tokens;
  const TokenBytes token_bytes;
  const std::string fingerprint;  // another one: the same request may get another answer
};

class GatewayModels {
 public:
  // `contexts` are those of the registry's models, in its order.
  GatewayModels(ModelRegistry registry, std::vector<ModelContext> contexts);

  // By what clients call it; "" is the first. Null when it is not served.
  const GatewayModel* find(std::string_view name) const;
  const GatewayModel& at(ModelId id) const { return *models_.at(id); }
  const std::vector<std::unique_ptr<const GatewayModel>>& all() const { return models_; }

 private:
  const ModelRegistry registry_;
  std::vector<std::unique_ptr<const GatewayModel>> models_;  // by id
};

}  // namespace caudal
