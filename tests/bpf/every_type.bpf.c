// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One program of every type, each counting its runs in one slot of the same array. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} runs SEC(".maps");

const volatile __u32 verdict = XDP_PASS;

static __always_inline void ran(__u32 key)
{
	__u64 *value = bpf_map_lookup_elem(&runs, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

SEC("xdp") int on_xdp(void *ctx)
{
	ran(0);
	return verdict;
}

SEC("tcx/ingress") int on_tcx(void *ctx)
{
	ran(1);
	return -1; /* TCX_NEXT */
}

SEC("tracepoint/syscalls/sys_enter_getppid") int on_tracepoint(void *ctx)
{
	ran(2);
	return 0;
}

SEC("uprobe") int on_uprobe(void *ctx)
{
	ran(3);
	return 0;
}

SEC("uretprobe") int on_uretprobe(void *ctx)
{
	ran(4);
	return 0;
}

SEC("tc") int on_tc(void *ctx)
{
	ran(5);
	return TC_ACT_PIPE;
}

char LICENSE[] SEC("license") = "GPL";
