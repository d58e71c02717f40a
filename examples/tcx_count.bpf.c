// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tcx_count: counts packets and bytes on a TCX (or tc) hook, ingress or egress.
 *
 * Answers TCX_NEXT, so that the programs after it on the hook run too. The
 * section is the plain "tc": libbpf 1.1 does not know "tcx/ingress" yet, and
 * the direction is chosen when the program is attached.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* enum tcx_action_base of Linux 6.6; older headers lack it. */
#define TCX_NEXT -1

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

/* Set this mark on every packet that is counted; 0 leaves the mark alone. */
const volatile __u32 mark = 0;

SEC("tc")
int tcx_count(struct __sk_buff *skb)
{
	struct counter *counter;
	__u32 key = 0;

	counter = bpf_map_lookup_elem(&counters, &key);
	if (counter) {
		counter->packets += 1;
		counter->bytes += skb->len;
	}
	if (mark)
		skb->mark = mark;
	return TCX_NEXT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
