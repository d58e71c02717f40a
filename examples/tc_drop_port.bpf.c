// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tc_drop_port: drops UDP packets to one port, IPv4 and IPv6, and counts them.
 *
 * It answers "pipe" to all others, so that the next program of its chain runs:
 * other protocols, fragments after the first, and IPv6 packets whose UDP header
 * follows extension headers. Ingress or egress is chosen when it is attached.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { SEEN, DROPPED, SLOTS };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* The UDP destination port to drop, in host byte order; 0 drops nothing. */
const volatile __u16 port = 0;

static __always_inline void count(__u32 slot)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &slot);

	if (value)
		*value += 1;
}

/* Where the packet's UDP header begins, 0 when it has none that we understand. */
static __always_inline __u32 find_udp(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.protocol != IPPROTO_UDP)
			return 0;
		if (ip.ihl < 5 || ip.frag_off & bpf_htons(0x1fff))
			return 0;
		return ETH_HLEN + ip.ihl * 4;
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip6;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip6, sizeof(ip6)) || ip6.nexthdr != IPPROTO_UDP)
			return 0;
		return ETH_HLEN + sizeof(ip6);
	}
	return 0;
}

SEC("tc")
int tc_drop_port(struct __sk_buff *skb)
{
	__u32 at = find_udp(skb);
	struct udphdr udp;

	count(SEEN);
	if (!port || !at || bpf_skb_load_bytes(skb, at, &udp, sizeof(udp)) || udp.dest != bpf_htons(port))
		return TC_ACT_PIPE;
	count(DROPPED);
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
