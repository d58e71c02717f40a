// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * uprobe_count: counts entries of and returns from a user-space function.
 *
 * Two programs in one object: `uprobe_enter` and `uprobe_return` share the map
 * `counters`, so the difference is the number of calls that are still running.
 * Which function of which file is said when they are attached.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum { ENTERED, RETURNED, SLOTS };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Count only this process id; 0 counts all. */
const volatile __u32 only_pid = 0;

static __always_inline int count(__u32 slot)
{
	__u64 *value;

	if (only_pid && bpf_get_current_pid_tgid() >> 32 != only_pid)
		return 0;
	value = bpf_map_lookup_elem(&counters, &slot);
	if (value)
		__sync_fetch_and_add(value, 1);
	return 0;
}

SEC("uprobe")
int uprobe_enter(void *ctx)
{
	(void)ctx;
	return count(ENTERED);
}

SEC("uretprobe")
int uprobe_return(void *ctx)
{
	(void)ctx;
	return count(RETURNED);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
