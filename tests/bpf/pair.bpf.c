// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Two programs that count into one map. -DVERSION=n tells versions apart, -DBROKEN has the verifier refuse the second,
 * -DWIDE makes the map another. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef VERSION
#define VERSION 1
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
#ifdef WIDE
	__uint(max_entries, 2);
#else
	__uint(max_entries, 1);
#endif
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

const volatile __u32 version = VERSION;

static __always_inline void note(void)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&packets, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

SEC("xdp") int first(struct xdp_md *ctx)
{
	note();
	return version ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp") int second(struct xdp_md *ctx)
{
#ifdef BROKEN
	return *(unsigned char *)(long)ctx->data;
#else
	return version ? XDP_PASS : XDP_ABORTED;
#endif
}

char LICENSE[] SEC("license") = "GPL";
