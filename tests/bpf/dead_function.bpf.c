// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A subprogram that constant data makes unreachable: the verifier removes it, and its type, from what it tells. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 enabled = 0;

static __attribute__((noinline)) int unused_here(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data > 100;
}

static __attribute__((noinline)) int used(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data > 10;
}

SEC("xdp") int half_alive(struct xdp_md *ctx)
{
	if (enabled)
		return unused_here(ctx) ? XDP_DROP : XDP_TX;
	return used(ctx) ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
