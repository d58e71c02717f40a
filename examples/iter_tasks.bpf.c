// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * iter_tasks: prints process, thread and name of every task, or of one process
 * or thread (`--pid`, `--tid`).
 *
 * The kernel's structures are declared here as far as they are read; the loader
 * finds their members in the running kernel's BTF.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct bpf_iter_meta {
	void *seq;
	__u64 session_id, seq_num;
} __attribute__((preserve_access_index));

struct task_struct {
	int pid, tgid;
	char comm[16];
} __attribute__((preserve_access_index));

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

SEC("iter/task")
int iter_tasks(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;

	/* A last call without a task follows the last one. */
	if (task)
		BPF_SEQ_PRINTF(seq, "%8d %8d %s\n", task->tgid, task->pid, task->comm);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
