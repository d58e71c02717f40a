// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counts the UDP packets to port 9999 of a pod. VERSION2 counts their bytes in a map of its own besides. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TCX_NEXT -1 /* enum tcx_action_base of Linux 6.6 */
#define PORT 9999

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

#ifdef VERSION2
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} bytes SEC(".maps");
#endif

SEC("tc")
int story_count(struct __sk_buff *skb)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u32 key = 0;
	__u64 *value;

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP ||
	    udp->dest != bpf_htons(PORT))
		return TCX_NEXT;
	value = bpf_map_lookup_elem(&packets, &key);
	if (value)
		__sync_fetch_and_add(value, 1);
#ifdef VERSION2
	value = bpf_map_lookup_elem(&bytes, &key);
	if (value)
		__sync_fetch_and_add(value, skb->len);
#endif
	return TCX_NEXT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
