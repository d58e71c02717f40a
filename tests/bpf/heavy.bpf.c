// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A small member that costs the verifier more than half of its million instructions: it walks every round of the loop. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int heavy(struct xdp_md *ctx)
{
	volatile __u64 sum = 0;

	for (__u32 i = 0; i < 80000; i++)
		sum += i;
	return sum == 7 ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
