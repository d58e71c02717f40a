// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * xdp_drop_port: drops UDP packets to one port, IPv4 and IPv6, and counts them.
 *
 * Everything else passes: other protocols, fragments after the first, and
 * IPv6 packets whose UDP header follows extension headers.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
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

/* The UDP header of the packet, or NULL when it has none that we understand. */
static __always_inline struct udphdr *find_udp(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct udphdr *udp;

	if ((void *)(eth + 1) > end)
		return NULL;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end || ip->protocol != IPPROTO_UDP)
			return NULL;
		if (ip->ihl < 5 || ip->frag_off & bpf_htons(0x1fff))
			return NULL;
		udp = (void *)ip + ip->ihl * 4;
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = (void *)(eth + 1);

		if ((void *)(ip6 + 1) > end || ip6->nexthdr != IPPROTO_UDP)
			return NULL;
		udp = (void *)(ip6 + 1);
	} else {
		return NULL;
	}
	return (void *)(udp + 1) > end ? NULL : udp;
}

SEC("xdp")
int xdp_drop_port(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct udphdr *udp = find_udp(data, end);

	count(SEEN);
	if (!udp || !port || udp->dest != bpf_htons(port))
		return XDP_PASS;
	count(DROPPED);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
