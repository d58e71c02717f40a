// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A member that passes a callback to a helper: ten rounds a packet, into a map. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} rounds SEC(".maps");

struct state {
	__u64 sum;
	__u64 step;
};

static long one_round(__u32 index, void *context)
{
	struct state *state = context;

	state->sum += state->step;
	return 0;
}

SEC("xdp") int looping(struct xdp_md *ctx)
{
	struct state state = { .sum = 0, .step = 1 };
	__u32 key = 0;
	__u64 *value;

	bpf_loop(10, one_round, &state, 0);
	value = bpf_map_lookup_elem(&rounds, &key);
	if (value)
		*value += state.sum;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
