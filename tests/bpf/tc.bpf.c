// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A program behind a traffic-control filter: it counts its packets and hands them on. */
#include "hits.bpf.h"

SEC("tc") int on_tc(void *ctx) { hit(); return -1; /* TC_ACT_UNSPEC */ }

char LICENSE[] SEC("license") = "GPL";
