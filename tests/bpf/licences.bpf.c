// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The same member under a licence of choice, with or without a GPL-only helper. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int licensed(struct xdp_md *ctx)
{
#ifdef GPL_HELPER
	struct bpf_fib_lookup lookup = {};

	bpf_fib_lookup(ctx, &lookup, sizeof(lookup), 0); /* GPL-only */
#endif
	return XDP_PASS;
}

#ifdef GPL_HELPER
char LICENSE[] SEC("license") = "GPL";
#else
char LICENSE[] SEC("license") = "Proprietary";
#endif
