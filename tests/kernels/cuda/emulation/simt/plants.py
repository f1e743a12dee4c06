"""Which text of which kernel becomes what; see plant.py and kernel_bugs.h. Files without an entry are only made smaller."""

BUG = "caudal::planted::planted(caudal::planted::KernelBug::"

PLANTS = {
    "kernels/cuda/peer/peer_reduce.cuh": [
        ("  sync();  // the block's part is written\n",
         f"  if (!{BUG}kPeerFlagTooSoon)) sync();\n"),
        ("  sync();  // the others' parts are here\n",
         f"  if (!{BUG}kPeerReadTooSoon)) sync();\n"),
        ("call % 2 *", f"({BUG}kPeerOneHalf) ? 0 : call % 2) *"),
        ("    ptx::store_release_system(flag_of(peer, rank), call);\n",
         f"""    if ({BUG}kPeerRelaxedFlag)) {{
      atomicExch(flag_of(peer, rank), call);
    }} else {{
      ptx::store_release_system(flag_of(peer, rank), call);
    }}
"""),
        ("    await_peer(group, flag_of(rank, peer), call, peer);\n",
         f"    await_peer(group, flag_of(rank, peer), call - ({BUG}kPeerLastCall) ? 1 : 0), peer);\n"),
        ("    float x = to_float(parts[0].value[i]);\n",
         f"""    if ({BUG}kPeerOwnFirst)) {{
      Vec<T> first_part = parts[0];
      parts[0] = parts[rank], parts[rank] = first_part;
    }}
    float x = to_float(parts[0].value[i]);
"""),
        ("    if (first + i < message.n) data[i] = vec.value[i];\n",
         f"    if (first + i < message.n - ({BUG}kPeerShortTail) ? 1 : 0)) data[i] = vec.value[i];\n"),
        ("  if (message.aligned && first + kSize <= message.n) return store_vec(data, vec);\n",
         f"  if (message.aligned && first + ({BUG}kPeerLongTail) ? 1 : kSize) <= message.n) return store_vec(data, vec);\n"),
    ],
    "kernels/cuda/attention/attention_tile.cuh": [
        ("min(position, piece.kv_end - 1)",
         f"min(position + ({BUG}kCausalLimit) ? 1 : 0), piece.kv_end - 1)"),
        ("position - args.window + 1",
         f"position - args.window + ({BUG}kWindowStart) ? 0 : 1)"),
        ("key0 + keys - 1 > last", f"key0 + keys - ({BUG}kMaskOneKeyLate) ? 2 : 1) > last"),
        ("  if (!__any_sync(~0U, correction[0] != 1.0F || correction[1] != 1.0F)) return;\n",
         f"  if ({BUG}kMissingRescale)) return;\n"),
    ],
    "kernels/cuda/attention/attention_decode.cu": [
        ("    count = ((piece.kv_end - piece.kv_begin + kPage - 1) / kPage - warp",
         f"    count = ((piece.kv_end - piece.kv_begin + ({BUG}kLastPageLost) ? 0 : kPage - 1)) / kPage - warp"),
        ("      __syncwarp();  // all lanes have read the stage that the next issue fills\n",
         f"      if (!{BUG}kStageReuse)) __syncwarp();\n"),
        ("    __syncthreads();  // the next piece overwrites queries and stages\n",
         f"    if (!{BUG}kPieceReuse)) __syncthreads();\n"),
    ],
    "kernels/cuda/attention/attention_prefill.cu": [],
    "kernels/cuda/attention/attention_prefill_sm90.cu": [],
    "kernels/cuda/attention/attention_merge.cu": [
        ("    const float weight = state.x == -INFINITY ? 0.0F : ptx::ex2(state.x - maximum);\n",
         f"    const float weight = {BUG}kMergeWeight) ? 1.0F : state.x == -INFINITY ? 0.0F : ptx::ex2(state.x - maximum);\n"),
    ],
    "kernels/cuda/attention/attention_sm90_producer.cuh": [
        ("      ptx::mbar_wait(&shared.k_empty[stage], ring.parity() ^ 1U);\n",
         f"      ptx::mbar_wait(&shared.k_empty[stage], ring.parity() ^ ({BUG}kTmaPhase) ? 0U : 1U));\n"),
        ("      ptx::mbar_wait(&shared.v_empty[stage], ring.parity() ^ 1U);\n",
         f"      if (!{BUG}kTmaMissingWait)) ptx::mbar_wait(&shared.v_empty[stage], ring.parity() ^ 1U);\n"),
        ("      if (row < valid) {\n", f"      if (row < valid || ({BUG}kTailNotZero) && row < valid + 1)) {{\n"),
    ],
    "kernels/cuda/attention/attention_sm90_consumer.cuh": [
        ("    ptx::fence_proxy_async();\n", f"    if (!{BUG}kQueryFence)) ptx::fence_proxy_async();\n"),
        ("""      ptx::wgmma_wait<0>();
      release(&shared.v_empty[before.stage()]);
      rescale""",
         f"""      if (!{BUG}kTmaEarlyRelease)) ptx::wgmma_wait<0>();
      release(&shared.v_empty[before.stage()]);
      ptx::wgmma_wait<0>();
      rescale"""),
    ],
}
