// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc members that the linker treats differently: subprograms, a tail call, a callback, packets read and changed. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETHERTYPE 0x88b5

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");

static __always_inline void add(void)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&packets, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

static __attribute__((noinline)) int of_ours(struct __sk_buff *skb)
{
	return skb->protocol == bpf_htons(ETHERTYPE);
}

__attribute__((noinline)) int of_ours_global(struct __sk_buff *skb)
{
	return skb->protocol == bpf_htons(ETHERTYPE);
}

SEC("tc") int with_static(struct __sk_buff *skb)
{
	if (of_ours(skb))
		add();
	return TC_ACT_PIPE;
}

SEC("tc") int with_global(struct __sk_buff *skb)
{
	if (of_ours_global(skb))
		add();
	return TC_ACT_PIPE;
}

/* Only when the tail call is not taken, which nobody sets up, it comes to the end. */
SEC("tc") int jumping(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETHERTYPE))
		add();
	bpf_tail_call(skb, &targets, 0);
	return TC_ACT_PIPE;
}

static long one_round(__u32 index, void *context)
{
	*(__u64 *)context += index;
	return 0;
}

SEC("tc") int looping(struct __sk_buff *skb)
{
	__u64 sum = 0;

	bpf_loop(4, one_round, &sum, 0);
	if (sum == 6 && skb->protocol == bpf_htons(ETHERTYPE))
		add();
	return TC_ACT_PIPE;
}

/* Reads the packet where it lies, then makes a copy of it necessary, and reads again. */
SEC("tc") int changing(struct __sk_buff *skb)
{
	unsigned char *data = (void *)(long)skb->data;
	unsigned char mark = 0x5a;

	if (data + 20 > (unsigned char *)(long)skb->data_end)
		return TC_ACT_PIPE;
	if (skb->protocol != bpf_htons(ETHERTYPE) || data[12] != ETHERTYPE >> 8)
		return TC_ACT_PIPE;
	skb->mark = 7;
	skb->cb[0] = 9;
	bpf_skb_store_bytes(skb, 16, &mark, 1, 0);
	data = (void *)(long)skb->data;
	if (data + 20 <= (unsigned char *)(long)skb->data_end && data[16] == mark)
		add();
	return TC_ACT_PIPE;
}

/* Sees what the members before it did. */
SEC("tc") int looking(struct __sk_buff *skb)
{
	unsigned char byte = 0;

	if (skb->protocol != bpf_htons(ETHERTYPE))
		return TC_ACT_PIPE;
	bpf_skb_load_bytes(skb, 16, &byte, 1);
	if (byte == 0x5a && skb->mark == 7 && skb->cb[0] == 9)
		add();
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
