"""One cluster of two ranks, asked by real clients in every way."""
import concurrent.futures
import http.client
import json
import re
import subprocess
import sys
import time
import unittest

import openai

from cluster import BIN, Cluster, ROOT

sys.path.insert(0, str(ROOT / "deploy/examples"))
import zmq_client

SAMPLES = json.loads((ROOT / "deploy/demo-model/samples.json").read_text())


class Serving(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(Cluster(tensor_parallel=2, zmq=True))
        cls.client = openai.OpenAI(base_url=f"http://127.0.0.1:{cls.cluster.port}/v1", api_key="none", max_retries=0)

    def test_sample_prompts_have_the_right_answers(self):
        for sample in SAMPLES:
            with self.subTest(sample):
                arguments = dict(temperature=0, max_tokens=400)
                if "messages" in sample:
                    _, answer = self.cluster.post("/v1/chat/completions", {"messages": sample["messages"], **arguments})
                    text = answer["choices"][0]["message"]["content"]
                else:
                    text = self.cluster.complete(sample["prompt"], **arguments)["choices"][0]["text"]
                if "text" in sample:
                    self.assertEqual(text, sample["text"])
                else:
                    self.assertRegex(text, re.compile(rf"\A(?:{sample['regex']})\Z", re.S))

    def test_the_readme_arithmetic(self):
        self.assertIn("42", self.cluster.chat("What is 17 plus 25?"))

    def test_openai_client_streams_what_it_answers(self):
        arguments = dict(model="demo", messages=[{"role": "user", "content": "What is the opposite of hot?"}],
                         temperature=0, max_tokens=40)
        whole = self.client.chat.completions.create(**arguments)
        chunks = list(self.client.chat.completions.create(**arguments, stream=True,
                                                          stream_options={"include_usage": True}))
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(chunks[-1].usage.total_tokens, whole.usage.total_tokens)
        self.assertEqual([c.choices[0].finish_reason for c in chunks if c.choices][-1], "stop")
        self.assertEqual(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens)

    def test_models_and_operations(self):
        self.assertEqual([m.id for m in self.client.models.list().data], ["demo"])
        self.assertEqual(self.client.models.retrieve("demo").id, "demo")
        for path in ("/health", "/live", "/version"):
            self.assertEqual(self.cluster.get(path)[0], 200, path)
        for name in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:time_to_first_token_seconds_count",
                     "vllm:inter_token_latency_seconds_count", "vllm:e2e_request_latency_seconds_count",
                     "vllm:kv_cache_usage_perc", "vllm:num_preemptions_total", "vllm:prompt_tokens_total",
                     "vllm:generation_tokens_total", "caudal:step_time_seconds_count", "caudal:batch_size_count"):
            self.assertIn("\n" + name, self.cluster.get("/metrics")[1], name)

    def test_the_load_generator_with_its_defaults(self):
        bench = [str(BIN / "caudal-bench"), "--port", str(self.cluster.port), "--num-prompts", "2"]
        for arguments in ([], ["--backend", "zmq", "--zmq", self.cluster.zmq_endpoint]):
            done = subprocess.run([*bench, *arguments], capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("up to 896 prompt and 128 output tokens instead of 1024", done.stderr)
            self.assertRegex(done.stdout, r"Successful requests: +2 ")
        done = subprocess.run([*bench, "--random-input-len", "1024"], capture_output=True, text=True, timeout=120)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("do not fit in the context of 1024 tokens", done.stderr)

    def test_http_and_zeromq_agree(self):
        client = zmq_client.Client(self.cluster.zmq_endpoint)
        for prompt in ("Once upon a time", "The cat"):
            answer = self.cluster.complete(prompt, max_tokens=24)
            done = client.complete(prompt, max_tokens=24, temperature=0.0)
            self.assertEqual(done.choices[0].text, answer["choices"][0]["text"])
            self.assertEqual(done.usage.completion_tokens, answer["usage"]["completion_tokens"])
            streamed = [e.delta.text for e in client.events(
                zmq_client.completion(prompt, max_tokens=24, temperature=0.0, stream=True))
                if e.WhichOneof("event") == "delta"]
            self.assertEqual("".join(streamed), done.choices[0].text)
        chat = client.chat(("user", "What is 17 plus 25?"), temperature=0.0)
        self.assertEqual(chat.choices[0].text, self.cluster.chat("What is 17 plus 25?"))

    def test_zeromq_errors_and_cancel(self):
        client = zmq_client.Client(self.cluster.zmq_endpoint)
        with self.assertRaises(zmq_client.GatewayError) as refused:
            client.complete("x", temperature=-1.0)
        self.assertEqual((refused.exception.error.status, refused.exception.error.param), (400, "temperature"))
        tag = client.send(zmq_client.completion("Once", max_tokens=1000, ignore_eos=True, stream=True))
        while client.receive().WhichOneof("event") != "delta":
            pass
        client.cancel(tag)
        event = client.receive()
        while event.WhichOneof("event") == "delta":
            event = client.receive()
        self.assertEqual(event.finished.choices[0].finish_reason, "abort")
        client.cancel(tag)
        self.assertEqual(client.receive().error.code, "unknown_tag")
        client.socket.send(b"")
        self.assertEqual(client.receive().error.status, 400)
        client.send(zmq_client.completion("x" * (9 << 20)))
        self.assertEqual(client.receive().error.status, 413)
        self.assertEqual(client.complete("Once", max_tokens=2).usage.completion_tokens, 2)

    def test_a_prompt_is_cached_for_those_with_its_salt(self):
        prompt = "One prompt that nobody else in these tests asks, so that it cannot be in the cache. " * 3
        def ask(**fields):
            answer = self.cluster.complete(prompt, max_tokens=8, **fields)
            usage = answer["usage"]
            return answer["choices"][0]["text"], usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"]
        hits = self.cluster.metric("vllm:prefix_cache_hits_total")
        text, cached, length = ask()
        self.assertEqual(cached, 0)
        self.assertEqual(ask(), (text, (length - 1) // 16 * 16, length))
        self.assertEqual(ask(cache_salt="another"), (text, 0, length))
        self.assertTrue(self.soon(lambda: self.cluster.metric("vllm:prefix_cache_hits_total") > hits))
        client = zmq_client.Client(self.cluster.zmq_endpoint)
        asked = dict(max_tokens=8, temperature=0.0)
        self.assertGreater(client.complete(prompt, **asked).usage.cached_tokens, 0)
        self.assertEqual(client.complete(prompt, cache_salt="a third", **asked).usage.cached_tokens, 0)

    def test_seeded_sampling_repeats(self):
        arguments = dict(max_tokens=24, temperature=0.9, top_p=0.95, top_k=50, min_p=0.01, seed=11)
        first = self.cluster.complete("Once upon a time", **arguments)["choices"][0]["text"]
        again = self.cluster.complete("Once upon a time", **arguments)["choices"][0]["text"]
        other = self.cluster.complete("Once upon a time", **{**arguments, "seed": 12})["choices"][0]["text"]
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_bad_words_never_come_out(self):
        prompt = "Once upon a time"
        asked = dict(max_tokens=40, temperature=0.0)
        text = self.cluster.complete(prompt, **asked)["choices"][0]["text"]
        words = sorted(set(re.findall(r"[a-z]{3,}", text)), key=len)[-3:]
        self.assertEqual(len(words), 3, text)
        cleaned = self.cluster.complete(prompt, bad_words=words, **asked)["choices"][0]["text"]
        spoken = re.findall(r"[a-z]+", cleaned)
        self.assertTrue(spoken)
        self.assertFalse(set(words) & set(spoken), cleaned)
        client = zmq_client.Client(self.cluster.zmq_endpoint)
        self.assertEqual(client.complete(prompt, bad_words=words, **asked).choices[0].text, cleaned)
        status, answer = self.cluster.post("/v1/completions", {"prompt": prompt, "bad_words": ["a", " "]})
        self.assertEqual((status, answer["error"]["param"]), (400, "bad_words[1]"))

    def test_n_and_stop_and_logprobs(self):
        answer = self.cluster.complete("Once upon a time", n=3, temperature=1.0, seed=3, max_tokens=8)
        self.assertEqual([c["index"] for c in answer["choices"]], [0, 1, 2])
        self.assertEqual(answer["usage"]["completion_tokens"], 24)
        best = self.cluster.complete("Once upon a time", n=2, best_of=4, temperature=1.0, seed=3, max_tokens=8, logprobs=0)
        means = [sum(c["logprobs"]["token_logprobs"]) / 8 for c in best["choices"]]
        self.assertEqual((len(means), best["usage"]["completion_tokens"]), (2, 32))
        self.assertGreaterEqual(means[0], means[1])
        stopped = self.cluster.complete("Once upon a time", stop=["a"], max_tokens=30)["choices"][0]
        self.assertNotIn("a", stopped["text"])
        self.assertEqual(stopped["finish_reason"], "stop")
        logprobs = self.cluster.complete("Once upon a time", logprobs=2, max_tokens=4)["choices"][0]["logprobs"]
        self.assertEqual(len(logprobs["tokens"]), 4)
        self.assertTrue(all(l <= 0 for l in logprobs["token_logprobs"]))

    def test_a_client_that_leaves_frees_its_blocks(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.cluster.port)
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": "Once", "max_tokens": 1000, "ignore_eos": True, "stream": True}),
            {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read(20)
        self.assertTrue(self.soon(lambda: self.cluster.metric("vllm:kv_cache_usage_perc") > 0))
        response.close()
        connection.close()
        self.assertTrue(self.soon(lambda: self.cluster.metric("vllm:kv_cache_usage_perc") == 0))
        self.assertTrue(self.soon(lambda: self.cluster.metric("vllm:num_requests_running") == 0))

    def soon(self, condition, limit=5):
        end = time.monotonic() + limit
        while not condition() and time.monotonic() < end:
            time.sleep(0.02)
        return condition()

    def test_bad_requests_disturb_nobody(self):
        bad = [
            ({"prompt": "x", "temperature": "hot"}, "temperature"),
            ({"prompt": "x", "temperature": -1}, "temperature"),
            ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
            ({"prompt": "x", "top_p": 2}, "top_p"),
            ({"prompt": ""}, "prompt"),
            ({"prompt": []}, "prompt"),
            ({"prompt": [1, 10**9]}, "prompt"),
            ({"prompt": [-1]}, "prompt"),
            ({"prompt": "x " * 5000}, "prompt"),
            ({"prompt": "x", "n": 10**6}, "n"),
            ({}, "prompt"),
        ]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            good = [pool.submit(self.cluster.complete, "Once upon a time", max_tokens=48) for _ in range(3)]
            for body, field in bad:
                status, answer = self.cluster.post("/v1/completions", body)
                self.assertEqual((status, answer["error"]["param"].split("[")[0]), (400, field), (body, answer))
            for garbage in (b"{", b"[]", b"\xff", b'{"prompt": NaN}', b"[" * 100000, b""):
                self.assertEqual(self.cluster.request("POST", "/v1/completions", garbage)[0], 400, garbage[:20])
            for garbage, field in ((b'{"prompt": "x", "temperature": NaN}', "temperature"),
                                   (b'{"prompt": "x", "max_tokens": 1e400}', "max_tokens"),
                                   (b'{"prompt": ["x", "\xff"]}', "prompt[1]"),
                                   (b'{"prompt": "x", "tools": [{}]}', "tools")):
                status, answer = self.cluster.request("POST", "/v1/completions", garbage)
                self.assertEqual((status, json.loads(answer)["error"]["param"]), (400, field), garbage)
            self.assertEqual(self.cluster.request("POST", "/v1/completions", b"x" * (9 << 20))[0], 413)
            self.assertEqual(self.cluster.post("/v1/completions", {"model": "other", "prompt": "x"})[0], 404)
            self.assertEqual(self.cluster.get("/nowhere")[0], 404)
            self.assertEqual(self.cluster.get("/v1/completions")[0], 405)
            texts = {g.result()["choices"][0]["text"] for g in good}
        self.assertEqual(len(texts), 1)


if __name__ == "__main__":
    unittest.main()
