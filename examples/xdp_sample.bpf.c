// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * xdp_sample: counts packets by IP protocol and samples every n-th packet.
 *
 * The sample (time, length, first bytes) goes to a ring buffer that any reader
 * of its pin may drain; when nobody does, `lost` counts what did not fit.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define HEAD_BYTES 32

struct sample {
	__u64 nanoseconds; /* since boot, CLOCK_MONOTONIC */
	__u32 length;
	__u32 protocol;
	__u8 head[HEAD_BYTES];
};

/* One counter per IP protocol number; 0 also takes what is not IP. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} protocols SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} samples SEC(".maps");

/* Only keeps the type in the object's BTF, so that `skep map events samples` can tell the fields. */
struct sample *type_of_samples __attribute__((unused));

/* Every how many packets, on each CPU, one is sampled; 0 means never. */
const volatile __u32 every = 1000;

/* Samples that found the ring buffer full. */
__u64 lost = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} until_next SEC(".maps");

static __always_inline __u32 ip_protocol(void *data, void *end)
{
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return 0;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);

		return (void *)(ip + 1) > end ? 0 : ip->protocol;
	}
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = (void *)(eth + 1);

		return (void *)(ip6 + 1) > end ? 0 : ip6->nexthdr;
	}
	return 0;
}

/* A subprogram of its own on purpose: the chain has to carry such members too. */
static __noinline int take_sample(struct xdp_md *ctx, __u32 protocol)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct sample *sample;

	if (data + HEAD_BYTES > end)
		return 0;
	sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);
	if (!sample) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	sample->nanoseconds = bpf_ktime_get_ns();
	sample->length = end - data;
	sample->protocol = protocol;
	__builtin_memcpy(sample->head, data, HEAD_BYTES);
	bpf_ringbuf_submit(sample, 0);
	return 1;
}

SEC("xdp")
int xdp_sample(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u32 protocol = ip_protocol(data, end) & 255;
	__u32 zero = 0, *left;
	__u64 *counter;

	counter = bpf_map_lookup_elem(&protocols, &protocol);
	if (counter)
		*counter += 1;

	left = bpf_map_lookup_elem(&until_next, &zero);
	if (left && every) {
		if (*left == 0) {
			*left = every;
			take_sample(ctx, protocol);
		}
		*left -= 1;
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
