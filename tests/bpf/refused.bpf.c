// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Programs that the verifier, the kernel or libbpf refuses, each for its own reason. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int fine(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp") int unchecked_packet(struct xdp_md *ctx)
{
	return *(unsigned char *)(long)ctx->data;
}

/* More instructions than the verifier walks, in one path: its log is long and the refusal is E2BIG. */
SEC("xdp") int too_long(struct xdp_md *ctx)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < 100000000; i++) {
		sum += i;
		asm volatile("" : "+r"(sum));
	}
	return sum > 1;
}

SEC("fentry/do_nanosleep") int policy(void *ctx)
{
	return 0;
}

SEC("lsm/file_open") int watch_open(void *ctx)
{
	return 0;
}

SEC("fentry") int no_target(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
