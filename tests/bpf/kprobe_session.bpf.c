// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One program for the entry and the return of a call: it counts both, or with refuse only the entry. */
#include "hits.bpf.h"

SEC("kprobe.session") int on_session(void *ctx)
{
	if (mine())
		hit();
	return refuse; /* 1: this call's return is not wanted */
}

char LICENSE[] SEC("license") = "GPL";
