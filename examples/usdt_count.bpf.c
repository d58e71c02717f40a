// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * usdt_count: counts how often a USDT probe is passed, by the text in one of its arguments.
 *
 * Try it on python:audit, whose first argument is what Python does ("open", "import").
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

struct text {
	char text[32];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct text);
	__type(value, __u64);
} passed SEC(".maps");

/* Which argument holds the text's address, from 0. */
const volatile __u32 argument = 0;

SEC("usdt")
int usdt_count(struct pt_regs *ctx)
{
	struct text key = {};
	__u64 one = 1, *count;
	long at = 0;

	if (bpf_usdt_arg(ctx, argument, &at))
		return 0;
	if (bpf_probe_read_user_str(key.text, sizeof(key.text), (const void *)at) < 0)
		return 0;
	count = bpf_map_lookup_elem(&passed, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&passed, &key, &one, BPF_NOEXIST);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
