// Schemas of objects without room for what they do not name. Pure.
#pragma once

#include <boost/json/object.hpp>

namespace caudal {

// The schema, with `additionalProperties: false` wherever it lists properties and says nothing about others: a model
// that may go on with names of its own seldom stops. What such a schema takes, the given one takes as well. Schemas
// that are put together from parts (allOf, if, ...) stay as they are, since their parts name properties for each other.
boost::json::object closed_schema(boost::json::object schema);

}  // namespace caudal
