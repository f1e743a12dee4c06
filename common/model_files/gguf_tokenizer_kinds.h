// How the tokenizers that GGUF files name cut text and put it together again: such a file has the vocabulary and a
// name, and what the name stands for is said here, in the words of tokenizer.json.
#pragma once

#include <string_view>

#include "common/json/json_node.h"

namespace caudal {

struct GgufTokenizerKind {
  std::string_view normalizer;  // JSON, as are the next two; empty: none
  std::string_view pre_tokenizer;
  std::string_view decoder;
  bool ignore_merges = false;
  bool add_bos = false;  // where the file does not say
};

// By "tokenizer.ggml.pre", for byte-level BPE. Throws JsonError when the name is not known.
const GgufTokenizerKind& bpe_kind(const JsonNode& metadata);
// Of SentencePiece, with or without a space in front.
const GgufTokenizerKind& sentence_piece_kind(const JsonNode& metadata);

}  // namespace caudal
