#!/usr/bin/env python3
"""Makes tests/reference/blocks.json: random blocks of GGUF's formats and their values by the package "gguf".

Needs gguf and numpy. README.md describes the file.
"""

import json
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Format
from gguf import GGML_QUANT_SIZES
from gguf.quants import dequantize

# format: where its f16 fields are in a block
HALVES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2],
          "Q6_K": [208]}
BLOCKS = {32: 3, 256: 2}  # by values in a block


def main():
    random = np.random.default_rng(12)
    cases = {}
    for name, halves in HALVES.items():
        values, size = GGML_QUANT_SIZES[Format[name]]
        blocks = random.integers(0, 256, (BLOCKS[values], size), dtype=np.uint8)
        for at in halves:  # any bits would be NaN or huge now and then
            scale = random.normal(0, 0.05, len(blocks)).astype(np.float16)
            blocks[:, at:at + 2] = scale.view(np.uint8).reshape(-1, 2)
        f32 = dequantize(blocks, Format[name]).astype("<f4").reshape(-1)
        cases[name] = {"blocks": blocks.tobytes().hex(), "values": f32.view("<u4").tolist()}
    path = Path(__file__).with_name("blocks.json")
    lines = [f" {json.dumps(name)}: {json.dumps(case, separators=(',', ':'))}" for name, case in cases.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
