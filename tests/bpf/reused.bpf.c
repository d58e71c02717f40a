// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A map that another load shares, by its owner or by its name: -D changes one thing of it at a time. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef TYPE
#define TYPE BPF_MAP_TYPE_HASH
#endif
#ifndef KEY
#define KEY __u32
#endif
#ifndef VALUE
#define VALUE __u64
#endif
#ifndef ENTRIES
#define ENTRIES 16
#endif
#ifndef FLAGS
#define FLAGS 0
#endif

struct {
	__uint(type, TYPE);
	__type(key, KEY);
	__type(value, VALUE);
	__uint(max_entries, ENTRIES);
	__uint(map_flags, FLAGS);
#ifdef BY_NAME
	__uint(pinning, LIBBPF_PIN_BY_NAME);
#endif
} table SEC(".maps");

SEC("xdp") int reader(void *ctx)
{
	KEY key = 0;

	return bpf_map_lookup_elem(&table, &key) ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
