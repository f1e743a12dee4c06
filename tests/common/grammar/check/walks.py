#!/usr/bin/env python3
"""Random documents that grammars allow, checked by the package jsonschema: every one that ended must be valid.

    walks.py --walk PROGRAM --tokenizer FILE --walks N [--schemas DIRECTORY]

The schemas are those of DIRECTORY ({"schema": ..., "tests": ...} each), 300 of them, or else a built-in list that has every
supported keyword. Exits 1 if a document is invalid, 77 without jsonschema.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

try:
    from jsonschema.validators import Draft202012Validator, validator_for
except ImportError:
    print("the package jsonschema is not installed")
    sys.exit(77)

NUM_SCHEMAS = 300


def built_in_schemas():
    """By keyword: what it is about alone, in an object, in a list, and against another one."""
    keywords = [
        {"type": "integer", "minimum": -5, "maximum": 300}, {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.25},
        {"type": "string", "minLength": 2, "maxLength": 9}, {"type": "string", "pattern": "^[A-Z][a-z]+(-[0-9]{2,4})?$"},
        {"type": "string", "pattern": "b+"}, {"enum": ["red", "green", 7, None, {"a": [1, 2]}]}, {"const": {"x": "y"}},
        {"type": ["boolean", "null"]}, {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 2},
        {"type": "array", "prefixItems": [{"type": "string", "maxLength": 3}, {"type": "boolean"}], "items": False},
        {"type": "array", "contains": {"const": 0}, "maxItems": 4, "items": {"type": "integer", "minimum": 0, "maximum": 9}},
        {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"type": "null"}}, "required": ["b"],
         "additionalProperties": False},
        {"type": "object", "patternProperties": {"^x[0-9]$": {"type": "integer"}}, "additionalProperties": False,
         "minProperties": 2}, {"type": "object", "propertyNames": {"pattern": "^[a-c]{1,3}$"}, "maxProperties": 3},
        {"type": "object", "dependentRequired": {"a": ["b"]}, "properties": {"a": {"const": 1}, "b": {"const": 2}},
         "additionalProperties": False},
        {"type": "object", "properties": {"kind": {"enum": ["n", "s"]}, "v": {}}, "required": ["kind", "v"],
         "if": {"properties": {"kind": {"const": "n"}}}, "then": {"properties": {"v": {"type": "integer"}}},
         "else": {"properties": {"v": {"type": "string"}}}},
        {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "integer"}]}, {"anyOf": [{"type": "null"}, {"type": "array"}]},
        {"not": {"type": ["object", "array"]}}, {"type": "string", "format": "date"}, {"type": "string", "format": "ipv4"},
        {"type": "string", "format": "uuid"}, {"type": "string", "format": "date-time"}, {"type": "string", "format": "uri"},
    ]
    tree = {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "required": ["value"], "additionalProperties": False,
            "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}}}
    yield tree
    for one in keywords:
        yield one
        yield {"type": "object", "properties": {"p": one}, "required": ["p"]}
        yield {"type": "array", "items": one, "minItems": 1, "maxItems": 3}
    rng = random.Random(1)
    for _ in range(NUM_SCHEMAS - 1 - 3 * len(keywords)):
        a, b = rng.sample(keywords, 2)
        yield {"type": "object", "properties": {"a": a, "b": {"anyOf": [a, b]}}, "required": rng.sample(["a", "b"], 1)}


def schemas_of(directory):
    files = sorted(pathlib.Path(directory).rglob("*.json"))
    for file in random.Random(1).sample(files, min(NUM_SCHEMAS, len(files))):
        yield json.loads(file.read_text())["schema"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--walk", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--walks", type=int, default=10_000)
    parser.add_argument("--schemas")
    options = parser.parse_args()
    schemas = list(schemas_of(options.schemas) if options.schemas else built_in_schemas())
    each = -(-options.walks // len(schemas))
    counts = {"valid": 0, "invalid": 0, "without an end": 0, "refused schemas": 0}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        for seed, schema in enumerate(schemas):
            file.seek(0)
            file.truncate()
            json.dump(schema, file)
            file.flush()
            run = subprocess.run([options.walk, "--tokenizer", options.tokenizer, "--schema", file.name, "--walks", str(each),
                                  "--seed", str(seed)], capture_output=True, text=True)
            if run.returncode != 0:
                counts["refused schemas"] += 1
                continue
            kind = validator_for(schema, default=Draft202012Validator)
            validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
            for line in run.stdout.rstrip("\n").split("\n"):
                text = json.loads(line)
                if text == "":
                    counts["without an end"] += 1
                elif validator.is_valid(json.loads(text)):
                    counts["valid"] += 1
                else:
                    counts["invalid"] += 1
                    print("invalid:", json.dumps(schema), text)
    print(counts)
    return 1 if counts["invalid"] else 0


if __name__ == "__main__":
    sys.exit(main())
