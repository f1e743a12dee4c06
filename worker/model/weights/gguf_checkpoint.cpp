#include "worker/model/weights/gguf_checkpoint.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/model_files/gguf_config.h"

namespace caudal {
namespace {

struct Names {
  std::string_view gguf, family;
};
// Of the model, and of a layer behind "blk.N." and "model.layers.N.".
constexpr std::array kModelNames = {Names{"token_embd.", "model.embed_tokens."}, Names{"output_norm.", "model.norm."},
                                    Names{"output.", "lm_head."}};
constexpr std::array kLayerNames = {
    Names{"attn_norm.", "input_layernorm."},    Names{"attn_q.", "self_attn.q_proj."},
    Names{"attn_k.", "self_attn.k_proj."},      Names{"attn_v.", "self_attn.v_proj."},
    Names{"attn_output.", "self_attn.o_proj."}, Names{"attn_q_norm.", "self_attn.q_norm."},
    Names{"attn_k_norm.", "self_attn.k_norm."}, Names{"ffn_norm.", "post_attention_layernorm."},
    Names{"ffn_gate.", "mlp.gate_proj."},       Names{"ffn_up.", "mlp.up_proj."},
    Names{"ffn_down.", "mlp.down_proj."},
};

// What has no other name keeps its own, and is found to be left over.
std::string family_name(const std::string& name) {
  std::string prefix;
  std::string_view rest = name;
  std::span<const Names> names = kModelNames;
  if (rest.starts_with("blk.")) {
    const std::size_t dot = rest.find('.', 4);
    if (dot == std::string_view::npos) return name;
    prefix = fmt::format("model.layers.{}.", rest.substr(4, dot - 4));
    rest.remove_prefix(dot + 1);
    names = kLayerNames;
  }
  const auto found = std::ranges::find_if(names, [&](const Names& n) { return rest.starts_with(n.gguf); });
  if (found == names.end()) return name;
  return fmt::format("{}{}{}", prefix, found->family, rest.substr(found->gguf.size()));
}

bool is_rotated(std::string_view family_name) {
  return family_name.find(".self_attn.q_proj.") != std::string_view::npos ||
         family_name.find(".self_attn.k_proj.") != std::string_view::npos;
}

// Tensors must lie in the file, apart from each other. Those of a format that weights cannot have are refused
// elsewhere.
void check_places(const GgufFile& file) {
  const GgufHeader& header = file.header();
  const auto fail = [&](const std::string& name, const char* what) {
    throw JsonError{fmt::format("tensor \"{}\" {}", name, what), "", file.name()};
  };
  std::vector<std::pair<std::uint64_t, const std::string*>> by_offset;
  by_offset.reserve(header.tensors.size());
  for (const auto& [name, tensor] : header.tensors) by_offset.emplace_back(tensor.offset, &name);
  std::ranges::sort(by_offset, {}, &decltype(by_offset)::value_type::first);
  std::uint64_t end = 0;
  for (const auto& [offset, name] : by_offset) {
    const GgufTensor& tensor = header.tensors.find(*name)->second;
    if (offset < end) fail(*name, "overlaps another");
    const std::optional<StoredFormat> format = find_format(tensor.type);
    const std::int64_t columns = tensor.shape.back();
    if (format && columns % info_of(*format).block_values != 0) fail(*name, "has rows of no whole number of blocks");
    std::uint64_t bytes = format ? stored_bytes(*format, columns) : 1;
    for (std::size_t i = 0; i + 1 < tensor.shape.size(); ++i) bytes *= static_cast<std::uint64_t>(tensor.shape[i]);
    if (bytes > header.data.size() - offset) fail(*name, "ends past the end of the file");
    end = offset + bytes;
  }
}

}  // namespace

Result<std::unique_ptr<Checkpoint>> GgufCheckpoint::open(const std::filesystem::path& path) {
  Result<GgufFiles> files = open_gguf(path);
  if (!files) return files.error();
  std::unique_ptr<GgufCheckpoint> checkpoint(new GgufCheckpoint(std::move(files).value()));
  try {
    const std::int64_t interleaved = interleaved_head_dim(checkpoint->files_.front());
    for (const GgufFile& file : checkpoint->files_) {
      check_places(file);
      checkpoint->add(file, interleaved);
    }
  } catch (const JsonError& error) {
    return error.in_file();
  }
  return std::unique_ptr<Checkpoint>(std::move(checkpoint));
}

void GgufCheckpoint::add(const GgufFile& file, std::int64_t interleaved) {
  for (const auto& [gguf_name, tensor] : file.header().tensors) {
    if (gguf_name == "rope_freqs.weight") continue;  // the config has it
    const std::string name = family_name(gguf_name);
    infos_[name] = {tensor.type, tensor.shape};
    places_[name] = {file.header().data.data() + tensor.offset, is_rotated(name) ? interleaved : 0};
  }
}

void GgufCheckpoint::drop(const WeightPart& part) const {
  const TensorInfo& info = infos_.find(part.name)->second;
  std::size_t bytes = stored_bytes(*find_format(info.format), info.shape.back());
  for (std::size_t i = 0; i + 1 < info.shape.size(); ++i) bytes *= static_cast<std::size_t>(info.shape[i]);
  drop_pages({places_.find(part.name)->second.data, bytes});
}

// The halves of each head one after the other, as q and k are rotated here.
StoredPart GgufCheckpoint::read(const WeightPart& part) const {
  const Place& place = places_.find(part.name)->second;
  StoredPart out = mapped_part(part, *find_format(infos_.find(part.name)->second.format), place.data);
  if (place.interleaved == 0) return out;
  const std::size_t row_bytes = stored_bytes(out.format, out.columns);
  out.memory = std::make_unique<std::byte[]>(out.stored_rows * row_bytes);
  const std::int64_t dim = place.interleaved, half = dim / 2;
  for (std::int64_t row = 0; row < out.stored_rows; ++row) {
    const std::int64_t wanted = part.rows.begin + row, head = wanted / dim, in_head = wanted % dim;
    const std::int64_t stored = head * dim + 2 * (in_head % half) + in_head / half;
    std::memcpy(out.memory.get() + row * row_bytes,
                out.data + (stored - part.rows.begin) * static_cast<std::ptrdiff_t>(out.row_bytes), row_bytes);
  }
  out.data = out.memory.get();
  out.row_bytes = row_bytes;
  return out;
}

}  // namespace caudal
