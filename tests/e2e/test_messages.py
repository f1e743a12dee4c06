"""Anthropic's Messages API with its own client: answers, streams, counts, a tool that has to be called and its result, a
prefilled answer, errors of the client's classes, two at once."""
import concurrent.futures
import unittest

import anthropic

from cluster import Cluster

TOOL = {"name": "weather", "description": "The weather of a place.",
        "input_schema": {"type": "object", "additionalProperties": False, "required": ["place", "days"],
                         "properties": {"place": {"enum": ["here", "there"]}, "days": {"type": "integer", "minimum": 1, "maximum": 7}}}}


class Messages(unittest.TestCase):
    def check_text(self, client, model):
        ask = [{"role": "user", "content": "What is the opposite of hot?"}]
        answer = client.messages.create(model=model, max_tokens=30, messages=ask, extra_body={"temperature": 0})
        self.assertEqual((answer.role, answer.stop_reason, answer.content[0].type), ("assistant", "end_turn", "text"))
        self.assertIn("cold", answer.content[0].text)
        with client.messages.stream(model=model, max_tokens=30, messages=ask, extra_body={"temperature": 0}) as stream:
            text = "".join(stream.text_stream)
            whole = stream.get_final_message()
        self.assertEqual(text, answer.content[0].text)
        self.assertEqual((whole.stop_reason, whole.usage.output_tokens), (answer.stop_reason, answer.usage.output_tokens))
        count = client.messages.count_tokens(model=model, messages=ask).input_tokens
        self.assertEqual(count, answer.usage.input_tokens + answer.usage.cache_read_input_tokens)
        short = client.messages.create(model=model, max_tokens=1, messages=ask, system="Be short.")
        self.assertEqual(short.stop_reason, "max_tokens")

    def check_tools(self, client, model):
        ask = [{"role": "user", "content": "How is the weather?"}]
        called = client.messages.create(model=model, max_tokens=200, messages=ask, tools=[TOOL], tool_choice={"type": "any"},
                                        extra_body={"temperature": 0})
        self.assertEqual(called.stop_reason, "tool_use")
        use = called.content[-1]
        self.assertEqual((use.type, use.name), ("tool_use", "weather"))
        self.assertIn(use.input["place"], ("here", "there"))
        self.assertIn(use.input["days"], range(1, 8))
        with client.messages.stream(model=model, max_tokens=200, messages=ask, tools=[TOOL], tool_choice={"type": "any"},
                                    extra_body={"temperature": 0}) as stream:
            streamed = stream.get_final_message()
        self.assertEqual([block.model_dump(exclude={"id"}) for block in streamed.content],
                         [block.model_dump(exclude={"id"}) for block in called.content])
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
        after = client.messages.create(model=model, max_tokens=20, tools=[TOOL], messages=[
            *ask, {"role": "assistant", "content": [block.model_dump() for block in called.content]},
            {"role": "user", "content": [result]}])
        self.assertIn(after.stop_reason, ("end_turn", "max_tokens", "tool_use"))

    def check_errors(self, client, model):
        with self.assertRaises(anthropic.BadRequestError) as refused:
            client.messages.create(model=model, max_tokens=5, messages=[{"role": "user", "content": "a"}], extra_body={"top_k": -7})
        self.assertIn("top_k", str(refused.exception))
        with self.assertRaises(anthropic.NotFoundError):
            client.messages.create(model="other", max_tokens=5, messages=[{"role": "user", "content": "a"}])

    def test_two_ranks(self):
        with Cluster(tensor_parallel=2) as cluster:
            with anthropic.Anthropic(base_url=f"http://127.0.0.1:{cluster.port}", api_key="none", max_retries=0) as client:
                model = client.models.list().data[0].id
                self.check_text(client, model)
                self.check_tools(client, model)
                self.check_errors(client, model)
                with concurrent.futures.ThreadPoolExecutor(2) as pool:
                    for job in [pool.submit(self.check_tools, client, model) for _ in range(2)]:
                        job.result()


if __name__ == "__main__":
    unittest.main()
