// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A member of some 12,000 instructions, to reach the limits of 16-bit jumps. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ONE(x) x = x * 31 + bpf_get_smp_processor_id();
#define TEN(x) ONE(x) ONE(x) ONE(x) ONE(x) ONE(x) ONE(x) ONE(x) ONE(x) ONE(x) ONE(x)
#define HUNDRED(x) TEN(x) TEN(x) TEN(x) TEN(x) TEN(x) TEN(x) TEN(x) TEN(x) TEN(x) TEN(x)
#define THOUSAND(x) HUNDRED(x) HUNDRED(x) HUNDRED(x) HUNDRED(x) HUNDRED(x) \
	HUNDRED(x) HUNDRED(x) HUNDRED(x) HUNDRED(x) HUNDRED(x)

SEC("xdp") int long_body(struct xdp_md *ctx)
{
	volatile __u64 x = ctx->ingress_ifindex;

	THOUSAND(x)
	THOUSAND(x)
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
