// Whether a grammar takes a whole text, byte by byte.
#pragma once

#include <memory>
#include <string_view>

#include "common/grammar/automata/machine.h"
#include "common/grammar/grammar.h"

namespace caudal::grammar {

inline bool accepts(const Grammar& grammar, std::string_view text) {
  const std::unique_ptr<Machine> machine = grammar.machine();
  Arena arena;
  State state = machine->start(arena);
  for (const char c : text) {
    State next;
    if (!machine->step(state, static_cast<std::uint8_t>(c), arena, next)) return false;
    state = next;
  }
  return machine->is_complete(state, arena);
}

}  // namespace caudal::grammar
