// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A member that tail-calls, and the program it calls. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

const volatile __u32 target_verdict = XDP_PASS;

static __always_inline void add(__u32 key)
{
	__u64 *value = bpf_map_lookup_elem(&packets, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

#ifdef FRAGS
SEC("xdp.frags")
#else
SEC("xdp")
#endif
int jumper(struct xdp_md *ctx)
{
	add(0);
	bpf_tail_call(ctx, &targets, 0);
	return XDP_DROP; /* only when the tail call is not taken */
}

#ifdef FRAGS
SEC("xdp.frags")
#else
SEC("xdp")
#endif
int target(struct xdp_md *ctx)
{
	add(1);
	return target_verdict;
}

char LICENSE[] SEC("license") = "GPL";
