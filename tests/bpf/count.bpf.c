// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counts packets (an array lookup and an atomic add) and returns a settable verdict. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef ENTRIES
#define ENTRIES 1
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ENTRIES);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

const volatile __u32 verdict = XDP_PASS;

SEC("xdp") int count(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&packets, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	return verdict;
}

SEC("xdp.frags") int count_frags(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&packets, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
