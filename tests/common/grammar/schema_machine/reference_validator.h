// The naive reference: validates a whole parsed value, keyword by keyword, as the specification says it (draft
// 2020-12). And random schemas and values for it.
#pragma once

#include <boost/json.hpp>
#include <random>

namespace caudal::grammar {

// `root` is what references start from.
bool is_valid(const boost::json::value& schema, const boost::json::value& value, const boost::json::value& root);

class RandomJson {
 public:
  explicit RandomJson(unsigned seed) : random_(seed) {}

  boost::json::value schema(int depth);
  boost::json::value value(int depth);
  std::size_t below(std::size_t n) { return random_() % n; }

 private:
  void add_for_strings(boost::json::object& schema);
  void add_for_numbers(boost::json::object& schema);
  void add_for_arrays(boost::json::object& schema, int depth);
  void add_for_objects(boost::json::object& schema, int depth);
  void add_applicators(boost::json::object& schema, int depth);
  boost::json::array schemas(int depth);
  std::string key() { return std::string(1, "abc"[below(3)]); }

  std::mt19937 random_;
};

}  // namespace caudal::grammar
