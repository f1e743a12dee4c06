// Calls the build of a Highway function that this context's instruction set asks for. Unlike
// HWY_DYNAMIC_DISPATCH the choice is the context's, not the process's, so backends with different caps can
// live side by side. Use where FUNCTION was given to HWY_EXPORT.
#pragma once

#include <hwy/targets.h>

#define CAUDAL_SIMD(context, function) (*HWY_DISPATCH_TABLE(function)[(context).simd().GetIndex()])
