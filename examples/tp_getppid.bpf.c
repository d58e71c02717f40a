// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tp_getppid: counts calls of getppid(2), by process id.
 *
 * getppid is a call that hardly anybody makes, which makes the count easy to
 * believe: run `python3 -c 'import os; [os.getppid() for _ in range(7)]'`.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32); /* process id (tgid) */
	__type(value, __u64);
} calls SEC(".maps");

/* Count only this process id; 0 counts all. */
const volatile __u32 only_pid = 0;

/* All counted calls, whether their process is still in `calls` or not. */
__u64 total = 0;

SEC("tracepoint/syscalls/sys_enter_getppid")
int tp_getppid(void *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 one = 1, *count;

	(void)ctx;
	if (only_pid && pid != only_pid)
		return 0;
	__sync_fetch_and_add(&total, 1);
	count = bpf_map_lookup_elem(&calls, &pid);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&calls, &pid, &one, BPF_NOEXIST);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
