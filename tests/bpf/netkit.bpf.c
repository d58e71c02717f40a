// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Programs for either side of a netkit pair: they note when they ran, and end the packet's way with a verdict. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

const volatile __s32 verdict = -1; /* NETKIT_NEXT -1, NETKIT_PASS 0, NETKIT_DROP 2 (linux/if_link.h) */

static __always_inline int count(void)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&hits, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	return verdict;
}

SEC("netkit/primary") int on_primary(struct __sk_buff *skb) { return count(); }
SEC("netkit/peer") int on_peer(struct __sk_buff *skb) { return count(); }
SEC("netkit") int on_either(struct __sk_buff *skb) { return count(); }

char _license[] SEC("license") = "GPL";
