#include "coordinator/gateway/generation/gateway_models.h"

#include "common/check.h"

namespace caudal {

GatewayModel::GatewayModel(ModelContext model)
    : context(std::move(model)),
      encoder(context),
      mark_tokens(context),
      token_bytes(*context.tokenizer),
      fingerprint("fp_" + sha256_of(context.card.digest + CAUDAL_VERSION).substr(0, 12)) {}

GatewayModels::GatewayModels(ModelRegistry registry, std::vector<ModelContext> contexts)
    : registry_(std::move(registry)) {
  CHECK(contexts.size() == registry_.all().size());
  for (ModelContext& context : contexts) {
    context.id = static_cast<ModelId>(models_.size());
    CHECK(context.served_name == registry_.at(context.id).name);
    models_.push_back(std::make_unique<const GatewayModel>(std::move(context)));
  }
}

const GatewayModel* GatewayModels::find(std::string_view name) const {
  if (name.empty()) return models_.front().get();
  const std::optional<ModelId> id = registry_.find_name(name);
  return id ? models_[*id].get() : nullptr;
}

}  // namespace caudal
