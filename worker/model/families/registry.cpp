// The one table of architectures. A new family is a file here and a line in each of the two lists below.
#include "worker/model/families/registry.h"

#include <vector>

namespace caudal {

// Each is defined in the file of its family.
std::span<const Family> llama_families();

std::span<const Family> known_families() {
  static const std::vector<Family> all = [] {
    std::vector<Family> families;
    for (const std::span<const Family> of_file : {llama_families()})
      families.insert(families.end(), of_file.begin(), of_file.end());
    return families;
  }();
  return all;
}

}  // namespace caudal
