// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* USDT programs that write down what they are told. */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

#define MOST 12

struct seen {
	__u64 runs;
	__s64 cookie;
	__s64 value[MOST];
	__s32 error[MOST];
	__s32 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct seen);
} seen SEC(".maps");

const volatile __u32 slot = 0;

static __always_inline int note(struct pt_regs *ctx, __u32 key)
{
	struct seen *one = bpf_map_lookup_elem(&seen, &key);
	int i;

	if (!one)
		return 0;
	__sync_fetch_and_add(&one->runs, 1);
	one->count = bpf_usdt_arg_cnt(ctx);
	one->cookie = bpf_usdt_cookie(ctx);
	for (i = 0; i < MOST; i++) {
		long value = 0;

		one->error[i] = bpf_usdt_arg(ctx, i, &value);
		one->value[i] = value;
	}
	return 0;
}

/* One run for each site: the last argument says which it was. */
static __always_inline int note_site(struct pt_regs *ctx)
{
	long site = 0;

	if (bpf_usdt_arg(ctx, 1, &site))
		return 0;
	return note(ctx, site & 7);
}

SEC("usdt") int on_usdt(struct pt_regs *ctx) { return note(ctx, slot); }
SEC("usdt") int on_site(struct pt_regs *ctx) { return note_site(ctx); }
SEC("usdt") int on_cookie(struct pt_regs *ctx) { return note(ctx, bpf_usdt_cookie(ctx) & 15); }
SEC("uprobe") int on_probe(struct pt_regs *ctx) { return 0; }
#ifdef SECTION
SEC(SECTION) int on_section(struct pt_regs *ctx) { return note(ctx, slot); }
#endif

char LICENSE[] SEC("license") = "GPL";
