// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A member that uses eight maps. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAP(name)                                  \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(max_entries, 1);            \
		__type(key, __u32);                \
		__type(value, __u64);              \
	} name SEC(".maps")

MAP(m0); MAP(m1); MAP(m2); MAP(m3); MAP(m4); MAP(m5); MAP(m6); MAP(m7);

#define ADD(name)                                          \
	do {                                               \
		__u32 key = 0;                             \
		__u64 *v = bpf_map_lookup_elem(&name, &key); \
		if (v)                                     \
			*v += 1;                           \
	} while (0)

SEC("xdp") int eight_maps(struct xdp_md *ctx)
{
	ADD(m0); ADD(m1); ADD(m2); ADD(m3); ADD(m4); ADD(m5); ADD(m6); ADD(m7);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
