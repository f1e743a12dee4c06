#!/usr/bin/env python3
"""Makes tests/reference/rounded_blocks.json: values and the blocks that ggml's reference quantisers round them to.

Needs numpy and xllamacpp, whose library exports them. README.md describes the file.
"""

import ctypes
import json
from pathlib import Path

import numpy as np
import xllamacpp

BYTES = {"Q8_0": 34, "Q4_0": 18}  # of a block of 32 values


def values():
    """Blocks of 32: weights as models have them, halves (ties), zeros, one value alone, tiny and large ones."""
    random = np.random.default_rng(8)
    blocks = [random.normal(0, 0.02, 32) for _ in range(24)]
    # As bf16, where ties are common.
    blocks += [(random.normal(0, 0.02, 32).astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
               for _ in range(24)]
    blocks += [random.integers(-254, 255, 32) / 2 for _ in range(8)]
    blocks += [random.integers(-16, 17, 32) / 2 for _ in range(8)]
    blocks += [np.append(random.integers(-253, 254, 31) / 2, 127) for _ in range(4)]
    blocks += [np.append(random.integers(-15, 16, 31) / 2, sign * 8) for sign in (1, -1) for _ in range(4)]
    blocks += [np.zeros(32), np.eye(1, 32, 17).ravel(), -np.eye(1, 32, 5).ravel(), np.full(32, 0.25)]
    blocks += [np.resize([1.0, -1.0], 32), np.resize([-3.0, 3.0, 1.5], 32)]
    blocks += [random.normal(0, 1e-6, 32), random.normal(0, 1e4, 32), random.normal(0, 1e-30, 32)]
    return np.concatenate(blocks).astype("<f4")


def main():
    library = ctypes.CDLL(next(Path(xllamacpp.__file__).parent.glob("xllamacpp*.so")))
    x = values()
    cases = {"values": x.view("<u4").tolist()}
    for name, size in BYTES.items():
        out = ctypes.create_string_buffer(len(x) // 32 * size)
        quantize = getattr(library, f"quantize_row_{name.lower()}_ref")
        quantize(x.ctypes.data_as(ctypes.c_void_p), out, ctypes.c_int64(len(x)))
        cases[name] = out.raw.hex()
    path = Path(__file__).with_name("rounded_blocks.json")
    lines = [f" {json.dumps(name)}: {json.dumps(case, separators=(',', ':'))}" for name, case in cases.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
