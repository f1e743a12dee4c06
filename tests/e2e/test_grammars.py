"""Outputs with a shape, with real clients: OpenAI's parse(), streams, several choices, every kind of grammar, both doors, two
ranks; refusals say where. What comes back is judged by jsonschema and re."""
import concurrent.futures
import json
import re
import sys
import unittest

import jsonschema
import openai
import pydantic

from cluster import Cluster, ROOT

sys.path.insert(0, str(ROOT / "deploy/examples"))
import zmq_client

SCHEMA = {"type": "object", "additionalProperties": False, "required": ["animal", "legs", "tags"],
          "properties": {"animal": {"enum": ["dog", "cat", "bird"]}, "legs": {"type": "integer", "minimum": 0, "maximum": 9},
                         "tags": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"enum": ["big", "small"]}}}}
ASK = [{"role": "user", "content": "Tell me about an animal."}]


class Animal(pydantic.BaseModel):
    animal: str = pydantic.Field(pattern="^[a-z]{3,8}$")
    legs: int = pydantic.Field(ge=0, le=9)


class Grammars(unittest.TestCase):
    def check_parse(self, cluster):
        with openai.OpenAI(base_url=f"http://127.0.0.1:{cluster.port}/v1", api_key="none") as client:
            name = client.models.list().data[0].id
            parsed = client.chat.completions.parse(model=name, messages=ASK, response_format=Animal, max_tokens=80, temperature=0)
            self.assertIsInstance(parsed.choices[0].message.parsed, Animal)
            with client.chat.completions.stream(model=name, messages=ASK, response_format=Animal, max_tokens=80, temperature=0) as stream:
                stream.until_done()
                whole = stream.get_final_completion().choices[0].message
            self.assertEqual(whole.parsed, parsed.choices[0].message.parsed)

    def check_all_forms(self, cluster):
        forms = [({"guided_choice": ["north", "south pole"]}, lambda text: text in ("north", "south pole")),
                 ({"regex": "[A-Z][a-z]{2,5} [0-9]{3}"}, lambda text: re.fullmatch("[A-Z][a-z]{2,5} [0-9]{3}", text)),
                 ({"grammar": 'root ::= "<" [a-z]{1,4} ">"'}, lambda text: re.fullmatch("<[a-z]{1,4}>", text)),
                 ({"structured_outputs": {"grammar": 'start: "x" ("y" | "z")~2'}}, lambda text: re.fullmatch("x[yz]{2}", text)),
                 ({"structured_outputs": {"structural_tag": {"type": "structural_tag", "format": {
                     "type": "tag", "begin": "<n>", "content": {"type": "regex", "pattern": "[1-9]{2}"}, "end": "</n>"}}}},
                  lambda text: re.fullmatch("<n>[1-9]{2}</n>", text))]
        for fields, is_right in forms:
            for more in ({}, {"temperature": 1.3, "seed": 5, "repetition_penalty": 1.2}, {"ignore_eos": True}):
                choice = cluster.complete("Once upon a time", max_tokens=60, **fields, **more)["choices"][0]
                self.assertEqual(choice["finish_reason"], "stop", (fields, more, choice))
                self.assertTrue(is_right(choice["text"]), (fields, more, choice))

    def check_many_at_once(self, cluster):
        def ask(seed):
            status, answer = cluster.post("/v1/chat/completions", {
                "messages": ASK, "n": 2, "temperature": 1, "seed": seed, "max_tokens": 100, "logprobs": True,
                "response_format": {"type": "json_schema", "json_schema": {"name": "animal", "schema": SCHEMA}}})
            self.assertEqual(status, 200, answer)
            return [choice["message"]["content"] for choice in answer["choices"] if choice["finish_reason"] == "stop"]

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            free = pool.submit(cluster.complete, "The red dog", max_tokens=40, ignore_eos=True)
            texts = [text for found in pool.map(ask, range(8)) for text in found]
            together = free.result()["choices"][0]["text"]
        self.assertGreater(len(texts), 8)
        for text in texts:
            jsonschema.validate(json.loads(text), SCHEMA)
        self.assertEqual(together, cluster.complete("The red dog", max_tokens=40, ignore_eos=True)["choices"][0]["text"])

    def check_drafts_change_nothing(self, cluster):
        fields = dict(max_tokens=100, guided_json=SCHEMA, temperature=0.9, seed=3)
        plain, drafted = (cluster.complete("An animal:", speculative=mode, **fields)["choices"][0] for mode in ("off", "auto"))
        self.assertEqual(plain["text"], drafted["text"])

    def check_the_other_door(self, cluster):
        client = zmq_client.Client(cluster.zmq_endpoint)
        fields = dict(max_tokens=60, temperature=0.0)
        over_zmq = client.complete("An animal:", json_schema=json.dumps(SCHEMA), **fields).choices[0].text
        self.assertEqual(over_zmq, cluster.complete("An animal:", json_schema=SCHEMA, **fields)["choices"][0]["text"])
        with self.assertRaises(zmq_client.GatewayError) as refused:
            client.complete("a", regex="(a", **fields)
        self.assertEqual((refused.exception.error.status, refused.exception.error.param), (400, "regex"))

    def check_refusals(self, cluster):
        for fields, param, words in [
                ({"guided_json": {"properties": {"a": {"$dynamicRef": "#x"}}}}, "guided_json", "/properties/a/$dynamicRef"),
                ({"grammar": "root ::= root \"a\""}, "grammar", "line 1"),
                ({"response_format": {"type": "json_object"}, "use_beam_search": True, "n": 2}, "response_format", "beam")]:
            status, answer = cluster.post("/v1/completions", {"prompt": "a", **fields})
            self.assertEqual((status, answer["error"]["param"]), (400, param), answer)
            self.assertIn(words, answer["error"]["message"])

    def test_two_ranks(self):
        with Cluster(tensor_parallel=2, zmq=True) as cluster:
            self.check_parse(cluster)
            self.check_all_forms(cluster)
            self.check_many_at_once(cluster)
            self.check_drafts_change_nothing(cluster)
            self.check_the_other_door(cluster)
            self.check_refusals(cluster)


if __name__ == "__main__":
    unittest.main()
