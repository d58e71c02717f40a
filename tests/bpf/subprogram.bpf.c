// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A member with a subprogram of its own, static and global. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

const volatile __u32 verdict = XDP_PASS;

static __attribute__((noinline)) int add(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&packets, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	return ctx->data_end - ctx->data > 0;
}

__attribute__((noinline)) int add_global(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&packets, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	return ctx->data_end - ctx->data > 0;
}

SEC("xdp") int with_static(struct xdp_md *ctx)
{
	return add(ctx) ? verdict : XDP_ABORTED;
}

SEC("xdp") int with_global(struct xdp_md *ctx)
{
	return add_global(ctx) ? verdict : XDP_ABORTED;
}

SEC("xdp") int with_both(struct xdp_md *ctx)
{
	int a = add_global(ctx);

	return a + add(ctx) == 2 ? verdict : XDP_ABORTED;
}

char LICENSE[] SEC("license") = "GPL";
