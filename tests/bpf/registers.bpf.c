// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Main body and subprograms that all keep values in callee-saved registers across each other's calls. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static __attribute__((noinline)) __u32 inner(struct xdp_md *ctx, __u32 salt)
{
	__u32 a = bpf_get_smp_processor_id() & 0, b = salt * 3, c = bpf_xdp_get_buff_len(ctx);

	a += bpf_get_smp_processor_id() & 0;
	b += bpf_get_smp_processor_id() & 0;
	return a + b + c; /* 3 * salt + 64 */
}

static __attribute__((noinline)) __u32 outer(struct xdp_md *ctx, __u32 salt)
{
	__u32 buffer[4] = { salt, salt + 1, salt + 2, salt + 3 };
	__u32 first = inner(ctx, salt), second = inner(ctx, salt + 1);

	asm volatile("" : : "r"(&buffer) : "memory");
	return first * 2 + second + buffer[2];
}

SEC("xdp") int registers(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u8 *bytes = data;
	__u32 a, b, c;

	if (data + 16 > end)
		return XDP_ABORTED;
	a = bytes[3], b = bytes[5];
	c = outer(ctx, a) - outer(ctx, b);
	/* outer(s) = 2(3s+64) + (3(s+1)+64) + (s+2) = 10s + 197 */
	return c + 10 * (b - a) == 0 ? XDP_TX : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
