// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A TCP congestion control that counts its calls and lets connections do little. -DLINK: for a link; -DNAME: its name. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#ifdef LINK
#define SECTION ".struct_ops.link"
#else
#define SECTION ".struct_ops"
#endif
#ifndef NAME
#define NAME "bpf_skep"
#endif
#ifndef WINDOW
#define WINDOW 10
#endif

char LICENSE[] SEC("license") = "GPL";

struct sock;

/* Those members of the kernel's struct that are used here; they are found by name. */
struct tcp_congestion_ops {
	char name[16];
	__u32 flags;
	void (*init)(struct sock *sk);
	__u32 (*ssthresh)(struct sock *sk);
	__u32 (*undo_cwnd)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

static __always_inline void hit(__u32 key)
{
	__u64 *value = bpf_map_lookup_elem(&hits, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

SEC("struct_ops/begin") void BPF_PROG(begin, struct sock *sk) { hit(0); }
SEC("struct_ops/threshold") __u32 BPF_PROG(threshold, struct sock *sk) { hit(1); return WINDOW; }
SEC("struct_ops/undo") __u32 BPF_PROG(undo, struct sock *sk) { hit(2); return WINDOW; }
SEC("struct_ops/avoid") void BPF_PROG(avoid, struct sock *sk, __u32 ack, __u32 acked) { hit(3); }

SEC(SECTION)
struct tcp_congestion_ops slow = {
	.init = (void *)begin,
	.ssthresh = (void *)threshold,
	.undo_cwnd = (void *)undo,
	.cong_avoid = (void *)avoid,
	.name = NAME,
};
