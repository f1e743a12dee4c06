// Switches for known bugs. tests/sim/mutants puts each bug back and shows that the simulation finds it. In the products
// a switch is its right side and nothing else; only the program that is built with CAUDAL_MUTANTS has the wrong one,
// and takes it when it is started for that bug. Every switch has a line in tests/sim/mutants/mutants.py.
#pragma once

#ifdef CAUDAL_MUTANTS

#include <string>

namespace caudal {
inline std::string active_mutant;  // set before anything else runs
}

#define CAUDAL_IS_MUTANT(name)                                \
  ([] {                                                       \
    static const bool is_it = caudal::active_mutant == #name; \
    return is_it;                                             \
  }())
#define MUTANT(name, right, ...) (CAUDAL_IS_MUTANT(name) ? (__VA_ARGS__) : (right))
#define MUTANT_OMITS(name, ...)               \
  do {                                        \
    if (!CAUDAL_IS_MUTANT(name)) __VA_ARGS__; \
  } while (false)
#define MUTANT_ADDS(name, ...)               \
  do {                                       \
    if (CAUDAL_IS_MUTANT(name)) __VA_ARGS__; \
  } while (false)

#else

// The value of `right`. The bug's value comes after it.
#define MUTANT(name, right, ...) (right)
// The statement, written without its semicolon. The bug is that it is missing. It does not break, continue or declare.
#define MUTANT_OMITS(name, ...) __VA_ARGS__
// Nothing. The bug is that the statement is there.
#define MUTANT_ADDS(name, ...) static_cast<void>(0)

#endif
