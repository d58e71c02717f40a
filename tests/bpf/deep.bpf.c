// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Members with big frames: DEPTH bytes in the main body, INNER in a subprogram of its own. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef DEPTH
#define DEPTH 480
#endif
#ifndef INNER
#define INNER 0
#endif

const volatile __u32 verdict = XDP_PASS;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, DEPTH ? DEPTH : 8);
} values SEC(".maps");

#if INNER
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, INNER);
} inner_values SEC(".maps");

static __attribute__((noinline)) int inner(struct xdp_md *ctx)
{
	char buffer[INNER];
	__u32 key = 0;

	__builtin_memset(buffer, 7, sizeof(buffer));
	bpf_map_update_elem(&inner_values, &key, buffer, BPF_ANY);
	return ctx->data_end - ctx->data > 0;
}
#endif

SEC("xdp") int deep(struct xdp_md *ctx)
{
	char buffer[DEPTH];
	__u32 key = 0;

	__builtin_memset(buffer, 5, sizeof(buffer));
	bpf_map_update_elem(&values, &key, buffer, BPF_ANY);
#if INNER
	if (!inner(ctx))
		return XDP_ABORTED;
#endif
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
