// Where a streaming JSON parser is, to name the value at which it stops. Keys come from outside: a path holds only
// those that a field could have.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace caudal {

inline constexpr std::size_t kMaxNamedKeyBytes = 64;

class JsonPlace {
 public:
  void enter_object() { levels_.push_back({false, 0, {}}); }
  void enter_array() { levels_.push_back({true, 0, {}}); }
  void leave();                            // the innermost of them, which is the end of a value
  void add_to_key(std::string_view part);  // of the next value
  void end_value();

  // Like `messages[0].content`; empty at the top. Ends before the first key that is not 1 to 64 letters, digits and
  // underscores.
  std::string path() const;

 private:
  struct Level {
    bool is_array = false;
    std::size_t index = 0;  // of the value in an array
    std::string key;        // of the value in an object; empty between two members
  };
  std::vector<Level> levels_;  // open objects and arrays, outermost first
};

}  // namespace caudal
