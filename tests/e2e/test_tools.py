"""Calls of tools with a real client: required, by name, strict, streamed, several choices, a form chosen by the operator, and
the way back into the conversation. Arguments are judged by jsonschema."""
import json
import unittest

import jsonschema
import openai

from cluster import Cluster

WEATHER = {"type": "object", "additionalProperties": False, "required": ["city", "days"],
           "properties": {"city": {"type": "string", "maxLength": 10}, "days": {"type": "integer", "minimum": 1, "maximum": 9}}}
NOW = {"type": "object", "additionalProperties": False, "properties": {}}
SCHEMAS = {"get_weather": WEATHER, "now": NOW}
TOOLS = [{"type": "function", "function": {"name": name, "description": "Tells it.", "parameters": schema, "strict": True}}
         for name, schema in SCHEMAS.items()]
ASK = [{"role": "user", "content": "What is the weather in Oslo?"}]


class Tools(unittest.TestCase):
    def ask(self, client, **fields):
        name = client.models.list().data[0].id
        return client.chat.completions.create(model=name, messages=fields.pop("messages", ASK), tools=TOOLS, max_tokens=300, **fields)

    def check_calls(self, choice, most=None):
        self.assertEqual(choice.finish_reason, "tool_calls")
        self.assertIsNone(choice.message.content)
        self.assertTrue(choice.message.tool_calls)
        self.assertLessEqual(len(choice.message.tool_calls), most or 100)
        for call in choice.message.tool_calls:
            jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])

    def check_required(self, client):
        answer = self.ask(client, tool_choice="required", parallel_tool_calls=False, temperature=1, seed=7, n=4)
        for choice in answer.choices:
            self.check_calls(choice, most=1)

    def check_named(self, client):
        for name in SCHEMAS:
            choice = self.ask(client, tool_choice={"type": "function", "function": {"name": name}}, temperature=0).choices[0]
            self.check_calls(choice, most=1)
            self.assertEqual(choice.message.tool_calls[0].function.name, name)

    def check_stream(self, client):
        fields = dict(tool_choice="required", parallel_tool_calls=False, temperature=0)
        whole = self.ask(client, **fields).choices[0].message.tool_calls[0].function
        names, arguments, ids = [], "", []
        for chunk in self.ask(client, stream=True, **fields):
            for call in chunk.choices[0].delta.tool_calls or []:
                names += [call.function.name] if call.function.name else []
                ids += [call.id] if call.id else []
                arguments += call.function.arguments or ""
        self.assertEqual((names, arguments, len(ids)), ([whole.name], whole.arguments, 1))

    def check_way_back(self, client):
        message = self.ask(client, tool_choice="required", parallel_tool_calls=False, temperature=0).choices[0].message
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "It is sunny."}
        # Strict tools by the model's own choice need a mark at which a call begins, which one of the forms does not have.
        answer = self.ask(client, messages=[*ASK, message.model_dump(exclude_none=True), result], temperature=0, tool_choice="none")
        self.assertFalse(answer.choices[0].message.tool_calls)
        self.assertGreater(answer.usage.prompt_tokens, 0)

    def check_refusals(self, cluster):
        for fields, param in [({"tools": TOOLS + TOOLS[:1]}, "tools[2].function.name"),
                              ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
                              ({"thinking_token_budget": 5}, "thinking_token_budget")]:
            status, answer = cluster.post("/v1/chat/completions", {"messages": ASK, **fields})
            self.assertEqual((status, answer["error"]["param"]), (400, param), answer)

    def test_forms(self):
        for args in ((), ("--tool-call-parser", "qwen3_coder"), ("--tool-call-parser", "pythonic")):
            with self.subTest(args=args), Cluster(args=args) as cluster, \
                    openai.OpenAI(base_url=f"http://127.0.0.1:{cluster.port}/v1", api_key="none") as client:
                self.check_required(client)
                self.check_named(client)
                self.check_stream(client)
                self.check_way_back(client)
                self.check_refusals(cluster)


if __name__ == "__main__":
    unittest.main()
