// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A member with a function that its configuration makes unreachable, and a callback that is not. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 enabled = 1;

static __attribute__((noinline)) int optional(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data > 9;
}

static long one_round(__u32 index, void *context)
{
	*(__u64 *)context += 1;
	return 0;
}

SEC("xdp") int configured(struct xdp_md *ctx)
{
	__u64 sum = 0;

	if (enabled && !optional(ctx))
		return XDP_DROP;
	bpf_loop(3, one_round, &sum, 0);
	return sum == 3 ? XDP_PASS : XDP_ABORTED;
}

char LICENSE[] SEC("license") = "GPL";
