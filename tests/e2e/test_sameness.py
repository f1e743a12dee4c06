"""The same tokens whatever the cluster looks like: ranks, chunks, batch, preemption, cache. In f32, where sums over
ranks may differ in the last bit but greedy tokens must not."""
import concurrent.futures
import unittest

from cluster import Cluster

# Mixed lengths, as token ids of the demonstration model's vocabulary.
PROMPTS = [[(7 * i * i + 31 * j + 5) % 1900 + 20 for j in range(1 + (i * 13) % 90)] for i in range(32)]


def answers(cluster, parallel):
    def ask(prompt):
        answer = cluster.complete(prompt, max_tokens=48, ignore_eos=True)
        return answer["choices"][0]["text"]
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        return list(pool.map(ask, PROMPTS))


class Sameness(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with Cluster(worker_args=["--dtype=f32"]) as cluster:
            cls.alone = answers(cluster, 1)

    def check(self, parallel=32, worker_args=(), **cluster):
        with Cluster(worker_args=["--dtype=f32", *worker_args], **cluster) as c:
            self.assertEqual(answers(c, parallel), self.alone)
            return c.metric("vllm:num_preemptions_total")

    def test_in_a_batch_of_32(self):
        self.check()

    def test_two_ranks(self):
        self.check(tensor_parallel=2)

    def test_four_ranks(self):
        self.check(tensor_parallel=4)

    def test_two_replicas(self):
        self.check(replicas=2)

    def test_from_the_prefix_cache(self):
        with Cluster(worker_args=["--dtype=f32"]) as c:
            self.assertEqual(answers(c, 32), self.alone)
            self.assertEqual(answers(c, 32), self.alone)
            self.assertGreater(c.metric("vllm:prefix_cache_hits_total"), 0)

    def test_small_chunks(self):
        self.check(args=["--max-tokens-per-step", "40", "--max-num-sequences", "32"])

    def test_preemption_in_a_small_pool(self):
        self.assertGreater(self.check(worker_args=["--num-blocks=24", "--swap-bytes=0"]), 0)

    def test_transfers_to_host_memory(self):
        # Without the prefix cache, so that whoever comes back needs his blocks from there.
        with Cluster(worker_args=["--dtype=f32", "--num-blocks=24", "--swap-bytes=64MiB"],
                     args=["--no-prefix-caching"], tensor_parallel=2) as c:
            self.assertEqual(answers(c, 32), self.alone)
            self.assertGreater(c.metric("vllm:num_preemptions_total"), 0)
            self.assertGreater(c.metric("caudal:swapped_blocks_total"), 0)
            self.assertGreater(c.metric("vllm:cpu_cache_usage_perc"), 0)


if __name__ == "__main__":
    unittest.main()
