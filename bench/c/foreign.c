// SPDX-License-Identifier: Apache-2.0
/*
 * foreign: loads programs that no manager knows about, and holds them.
 *
 * Usage: foreign COUNT
 * Loads COUNT two-instruction XDP programs by plain BPF_PROG_LOAD, writes
 * "ready", and keeps their file descriptors until standard input ends.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bpf/bpf.h>

int main(int argc, char **argv)
{
	/* r0 = XDP_PASS; exit */
	const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	long count = argc == 2 ? atol(argv[1]) : 0;
	struct rlimit files = { .rlim_cur = count + 64, .rlim_max = count + 64 };
	char byte;

	if (count <= 0) {
		fprintf(stderr, "usage: foreign COUNT\n");
		return 2;
	}
	if (setrlimit(RLIMIT_NOFILE, &files))
		perror("foreign: setrlimit");
	for (long made = 0; made < count; made++)
		if (bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign", "GPL", pass, 2, NULL) < 0) {
			fprintf(stderr, "foreign: load %ld of %ld: %s\n", made + 1, count, strerror(errno));
			return 1;
		}
	puts("ready");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
