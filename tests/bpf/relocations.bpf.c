// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A member with CO-RE relocations: reads a kernel type's size and a field's offset of the running kernel. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int pid;
	int tgid;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

SEC("xdp") int relocated(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&seen, &key);

	if (value)
		*value = bpf_core_field_offset(struct task_struct, tgid);
	key = 1;
	value = bpf_map_lookup_elem(&seen, &key);
	if (value)
		*value = bpf_core_type_size(struct task_struct);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
