// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A program that asks a function of its own whether a socket may be made, and programs to put in that function's place. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

static __always_inline void hit(void)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&hits, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

__attribute__((noinline)) int decide(int wish)
{
	asm volatile("" : "+r"(wish));
	return wish;
}

SEC("cgroup/sock_create") int gate(struct bpf_sock *ctx) { return decide(1) ? 1 : 0; }
SEC("freplace/decide") int deny(int wish) { hit(); return 0; }
SEC("freplace") int deny_too(int wish) { hit(); return 0; }
SEC("freplace/decide") int other_arguments(struct bpf_sock *ctx, int wish) { return 0; }

__attribute__((noinline)) int judge(struct xdp_md *ctx)
{
	int verdict = XDP_PASS;

	asm volatile("" : "+r"(verdict));
	return verdict;
}

SEC("xdp") int filter(struct xdp_md *ctx) { return judge(ctx); }
SEC("freplace/judge") int drop(struct xdp_md *ctx) { return XDP_DROP; }

char _license[] SEC("license") = "GPL";
