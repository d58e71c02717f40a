// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * udp_count: counts UDP packets (IPv4, no options) to one port on a TCX or tc
 * hook, and hands on everything.
 *
 * Compiled with -DBYTES it counts their bytes too, in a second map: a next
 * version of the same program, to replace it with while it runs.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* enum tcx_action_base of Linux 6.6; older headers lack it. */
#define TCX_NEXT -1

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

#ifdef BYTES
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} bytes SEC(".maps");
#endif

/* UDP port, in the host's byte order. */
const volatile __u16 port = 9999;

SEC("tc")
int udp_count(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u32 key = 0;
	__u64 *value;

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->protocol != IPPROTO_UDP || udp->dest != bpf_htons(port))
		return TCX_NEXT;
	value = bpf_map_lookup_elem(&packets, &key);
	if (value)
		__sync_fetch_and_add(value, 1);
#ifdef BYTES
	value = bpf_map_lookup_elem(&bytes, &key);
	if (value)
		__sync_fetch_and_add(value, skb->len);
#endif
	return TCX_NEXT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
