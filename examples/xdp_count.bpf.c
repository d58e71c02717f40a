// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * xdp_count: counts packets and bytes and lets every packet pass.
 *
 * The smallest useful member of an XDP chain. Both globals may be set at load
 * time (`skep program load file ... -g min_len=40000000`), and the counters
 * are read from the pinned map `counters`.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct counter {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

/* Packets shorter than this, in bytes, are not counted. */
const volatile __u32 min_len = 0;

/* What to answer; XDP_PASS is 2. */
const volatile __u32 verdict = XDP_PASS;

SEC("xdp")
int xdp_count(struct xdp_md *ctx)
{
	__u64 len = ctx->data_end - ctx->data;
	struct counter *counter;
	__u32 key = 0;

	counter = bpf_map_lookup_elem(&counters, &key);
	if (counter && len >= min_len) {
		/* Per CPU and not preemptible by another XDP run: no atomic needed. */
		counter->packets += 1;
		counter->bytes += len;
	}
	return verdict;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
