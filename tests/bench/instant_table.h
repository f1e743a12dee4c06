// InstantTable: a worker without a model: answers each plan at once, one token per sequence that has caught up.
#pragma once

#include <vector>

#include "common/types.h"

namespace caudal::bench {

// What a worker remembers between plans, as far as an answer needs it.
class InstantTable {
 public:
  explicit InstantTable(std::int32_t num_slots) : rows_(static_cast<std::size_t>(num_slots)) {}
  StepResult run(const StepPlan& plan);

 private:
  struct Row {
    SequenceId sequence = 0;
    std::int32_t num_tokens = 0;
    std::int32_t num_prompt_tokens = 0;
    std::int32_t num_computed = 0;
    std::int32_t max_tokens = 0;
    bool has_ended = false;
  };
  std::vector<Row> rows_;
};

}  // namespace caudal::bench
