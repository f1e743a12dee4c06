// How the ranks of a job end when they cannot start. What stops one rank mostly stops all of them, for the same reason:
// they tell each other, the first says it, once, and ends the job with one call. A rank that fails alone does both
// after a moment of waiting for the others.
#pragma once

#include "common/result.h"

namespace caudal {

// Whether mpirun started this process.
bool under_mpirun();

// From the thread that called MPI_Init. mpirun ends all ranks, also those that wait in a collective, with `code`.
// Refusals of several ranks are the same when their fields are, or without fields their messages.
[[noreturn]] void refuse_to_start(const Error& error, int code);

}  // namespace caudal
