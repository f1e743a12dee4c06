// ModelRegistry: the models that the coordinator serves. Behind the gateway everything names a model by its id here:
// requests, what they demand of a replica, and the replicas. Filled at start, then immutable. One entry today.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/types.h"

namespace caudal {

struct ServedModel {
  std::string name{};    // what clients call it
  std::string digest{};  // as replicas send it (common/model_files/model_digest.h); empty: that of the first replica
  std::int32_t min_vocab_size = 0;  // the tokenizer's: a replica with fewer tokens is refused
};

class ModelRegistry {
 public:
  explicit ModelRegistry(ServedModel model = {}) { add(std::move(model)); }

  ModelId add(ServedModel model) {
    models_.push_back(std::move(model));
    return static_cast<ModelId>(models_.size() - 1);
  }

  const std::vector<ServedModel>& all() const { return models_; }
  const ServedModel& at(ModelId id) const { return models_.at(id); }

  std::optional<ModelId> find_name(std::string_view name) const {
    return find([&](const ServedModel& model) { return model.name == name; });
  }

  // The model with this digest, else one that takes any.
  std::optional<ModelId> find_digest(std::string_view digest) const {
    if (const auto known = find([&](const ServedModel& model) { return is_of(model, digest); })) return known;
    return find([](const ServedModel& model) { return model.digest.empty(); });
  }

 private:
  // The same digest, or the same but for weights that the coordinator does not have.
  static bool is_of(const ServedModel& model, std::string_view digest) {
    const std::string_view known = model.digest;
    return known == digest || (known.ends_with(":-") && digest.starts_with(known.substr(0, known.size() - 1)));
  }

  template <typename Matches>
  std::optional<ModelId> find(Matches matches) const {
    for (ModelId id = 0; id < models_.size(); ++id) {
      if (matches(models_[id])) return id;
    }
    return std::nullopt;
  }

  std::vector<ServedModel> models_;  // by id
};

}  // namespace caudal
