// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What every program of types.bpf.c, and of the files of single types, counts its runs in. */
#pragma once
#include <linux/bpf.h>
#include <linux/errno.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

const volatile __u64 only_tgid = 0; /* 0: every process */
const volatile __u32 refuse = 0;    /* whether to refuse what may be refused */
const volatile __u32 slot = 0;

static __always_inline void hit(void)
{
	__u32 key = slot;
	__u64 *value = bpf_map_lookup_elem(&hits, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

static __always_inline int mine(void)
{
	return !only_tgid || bpf_get_current_pid_tgid() >> 32 == only_tgid;
}

#define COUNTING(section, name) SEC(section) int name(void *ctx) { if (mine()) hit(); return 0; }
#define REFUSING(section, name) \
	SEC(section) int name(void *ctx) { if (!mine()) return 0; hit(); return refuse ? -EPERM : 0; }
#define ALLOWING(section, name) SEC(section) int name(void *ctx) { hit(); return !refuse; }
