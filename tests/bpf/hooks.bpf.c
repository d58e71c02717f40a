// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One program for each hook, all counting in one map, so that a test can tell whether it ran. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

const volatile __u32 slot = 0;
const volatile __u32 verdict = XDP_PASS;
const volatile __u64 only_tgid = 0; /* 0: count every process */
__u64 total = 0;

static __always_inline void hit(__u64 by)
{
	__u32 key = slot;
	__u64 *value = bpf_map_lookup_elem(&hits, &key);

	if (value)
		__sync_fetch_and_add(value, by);
}

static __always_inline int wanted(void)
{
	return !only_tgid || bpf_get_current_pid_tgid() >> 32 == only_tgid;
}

SEC("xdp") int on_xdp(struct xdp_md *ctx)
{
	hit(1);
	__sync_fetch_and_add(&total, 1);
	return verdict;
}

SEC("tc") int on_tcx(struct __sk_buff *ctx)
{
	hit(1);
	return TC_ACT_UNSPEC; /* TCX_NEXT of later headers */
}

SEC("tracepoint/syscalls/sys_enter_getppid") int on_tracepoint(void *ctx)
{
	if (wanted())
		hit(1);
	return 0;
}

SEC("uprobe") int on_uprobe(void *ctx)
{
	if (wanted())
		hit(1);
	return 0;
}

SEC("uprobe") int on_cookie(void *ctx)
{
	if (wanted())
		hit(bpf_get_attach_cookie(ctx));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
