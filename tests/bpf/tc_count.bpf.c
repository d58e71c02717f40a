// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counts packets of one EtherType (an array lookup and an atomic add) and returns a settable verdict. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

const volatile int verdict = TC_ACT_PIPE;

SEC("tc") int count(struct __sk_buff *skb)
{
	__u32 key = 0;
	__u64 *value;

	if (skb->protocol != bpf_htons(0x88b5))
		return TC_ACT_PIPE;
	value = bpf_map_lookup_elem(&packets, &key);
	if (value)
		__sync_fetch_and_add(value, 1);
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
