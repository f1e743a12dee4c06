// What config.json and generation_config.json would say of a GGUF model. Everything here throws JsonError.
#pragma once

#include <cstdint>

#include "common/gguf/gguf_file.h"
#include "common/model_files/model_card.h"

namespace caudal {

ModelDocuments gguf_documents(const GgufFiles& files);

// The size of a head of q and k whose rows are stored as llama.cpp rotates them, pair by pair: row 2 i of a head is
// row i of the first half, row 2 i + 1 is row i of the second half. 0: the halves are stored one after the other.
std::int64_t interleaved_head_dim(const GgufFile& file);

}  // namespace caudal
