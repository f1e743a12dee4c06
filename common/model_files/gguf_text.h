// The tokenizer and the chat template of a GGUF model. Throws JsonError.
#pragma once

#include "common/gguf/gguf_file.h"
#include "common/model_files/text_files.h"

namespace caudal {

TextFiles gguf_text(const GgufFile& file);

}  // namespace caudal
