// A family that the build does not have, and only tests serve: a decoder whose layers have heads and windows of their
// own. Registered with RunnerOptions::families.
#pragma once

#include <ostream>
#include <span>
#include <vector>

#include "tests/temporary_dir.h"
#include "worker/model/model.h"
#include "worker/runner/runner_options.h"

namespace caudal {

std::span<const Family> mixed_families();

// A model of that family with these layers; its weights are dummies.
struct MixedModel {
  const char* name;
  std::vector<LayerConfig> layers;
  bool has_one_table = false;  // all its layers are one KV group

  void write_config(const TemporaryDir& dir) const;
};

inline void PrintTo(const MixedModel& model, std::ostream* out) { *out << model.name; }

// One for each way in which groups share the arrays of the cache.
inline std::vector<MixedModel> mixed_models() {
  return {
      // As many elements in each layer. One layer has a window.
      {"EqualRows", {{4, 2, 32, 0}, {4, 4, 16, 0}, {4, 2, 32, 20}, {4, 4, 16, 0}}},
      // The picture of worker/cache/kv_layout.h, with smaller heads: two windowed layers share a pair of arrays.
      {"HalfRows",
       {{8, 4, 16, 0}, {4, 2, 16, 20}, {4, 2, 16, 20}, {8, 4, 16, 0}, {4, 2, 16, 20}, {4, 2, 16, 20}, {4, 2, 16, 20}}},
      // Rows of 3 and 2 parts: what both divide has room for two layers of the one kind and three of the other.
      {"NoMultiples", {{4, 2, 48, 0}, {4, 2, 32, 20}, {4, 2, 32, 20}, {4, 2, 48, 0}, {4, 2, 32, 20}}},
      // Three kinds, two windows.
      {"TwoWindows",
       {{4, 4, 32, 0}, {4, 2, 32, 40}, {2, 2, 16, 20}, {4, 2, 32, 40}, {2, 2, 16, 20}, {2, 2, 16, 20}, {2, 2, 16, 20}}},
      // No layer has a window, so one block table is enough.
      {"OneTable", {{4, 2, 32, 0}, {6, 6, 16, 0}, {2, 2, 48, 0}}, true},
      // No row of a useful size is a multiple of both: one table, and nothing is freed.
      {"NoCommonRow", {{4, 2, 80, 0}, {4, 2, 112, 20}, {4, 2, 112, 20}}, true},
  };
}

// Dummy weights, f32, this family.
RunnerOptions mixed_options();

}  // namespace caudal
