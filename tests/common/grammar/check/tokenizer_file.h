// A tokenizer.json by itself.
#pragma once

#include <memory>
#include <string>

#include "common/result.h"
#include "common/tokenizer/tokenizer.h"

namespace caudal {

Result<std::unique_ptr<Tokenizer>> read_tokenizer_file(const std::string& file);

}  // namespace caudal
