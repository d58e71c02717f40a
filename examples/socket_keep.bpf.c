// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * socket_keep: counts the packets that one socket receives, and keeps the
 * first bytes of each, the transport header's included; 0 drops them.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Bytes to keep. */
const volatile __u32 keep = 65535;

SEC("socket")
int socket_keep(struct __sk_buff *skb)
{
	__u32 slot = 0;
	__u64 *value = bpf_map_lookup_elem(&counters, &slot);

	(void)skb;
	if (value)
		*value += 1;
	return keep;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
