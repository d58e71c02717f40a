// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One program for each type that is run on request, and iterators that print; each counts its runs. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

static __always_inline void hit(void)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&hits, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

/* Swaps the first two bytes of the packet, and drops what has an odd third one. */
SEC("xdp") int run_xdp(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, first;

	hit();
	if (data + ETH_HLEN > end)
		return XDP_ABORTED;
	first = data[0];
	data[0] = data[1];
	data[1] = first;
	return data[2] & 1 ? XDP_DROP : XDP_PASS;
}

static __always_inline int mark(struct __sk_buff *skb)
{
	hit();
	skb->mark += 1;
	return 2; /* TC_ACT_SHOT */
}

SEC("tc") int run_tc(struct __sk_buff *skb) { return mark(skb); }
SEC("tcx/ingress") int run_tcx(struct __sk_buff *skb) { return mark(skb); }
SEC("netkit/primary") int run_netkit(struct __sk_buff *skb) { return mark(skb); }

SEC("cgroup_skb/egress") int run_cgroup_skb(struct __sk_buff *skb) { hit(); return 1; }
SEC("socket") int run_socket_filter(struct __sk_buff *skb) { hit(); return 20; }
SEC("flow_dissector") int run_flow(struct __sk_buff *skb) { hit(); return BPF_DROP; }
SEC("netfilter") int run_netfilter(void *ctx) { hit(); return 1; }
SEC("sk_lookup") int run_sk_lookup(struct bpf_sk_lookup *ctx) { hit(); return ctx->local_port == 80 ? SK_PASS : SK_DROP; }
SEC("lwt_in") int run_lwt_in(struct __sk_buff *skb) { hit(); return BPF_OK; }
SEC("lwt_out") int run_lwt_out(struct __sk_buff *skb) { hit(); return BPF_DROP; }
SEC("lwt_xmit") int run_lwt_xmit(struct __sk_buff *skb) { hit(); return BPF_LWT_REROUTE; }
SEC("lwt_seg6local") int run_lwt_seg6local(struct __sk_buff *skb) { hit(); return BPF_OK; }

SEC("raw_tp/sys_enter") int run_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	hit();
	return ctx->args[0] + ctx->args[1];
}

struct sum {
	__u64 left, right, total;
};

/* Adds two numbers of its context. */
SEC("syscall") int run_syscall(struct sum *ctx)
{
	hit();
	ctx->total = ctx->left + ctx->right;
	return -7;
}

SEC("kprobe/do_nothing") int never_run(void *ctx) { return 0; }
SEC("cgroup/sysctl") int no_run(void *ctx) { return 1; }

struct bpf_iter_meta {
	void *seq;
	__u64 session_id, seq_num;
} __attribute__((preserve_access_index));

struct task_struct {
	int pid, tgid;
} __attribute__((preserve_access_index));

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	void *map, *key, *value;
} __attribute__((preserve_access_index));

struct cgroup;
struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

SEC("iter/task") int print_tasks(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;

	struct task_struct *task = ctx->task;

	hit();
	if (task)
		BPF_SEQ_PRINTF(seq, "%d %d\n", task->tgid, task->pid);
	return 0;
}

SEC("iter/bpf_map_elem") int print_elements(struct bpf_iter__bpf_map_elem *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	__u32 *key = ctx->key;
	__u64 *value = ctx->value;

	if (key && value)
		BPF_SEQ_PRINTF(seq, "%u %llu\n", *key, *value);
	return 0;
}

SEC("iter/cgroup") int print_cgroups(struct bpf_iter__cgroup *ctx)
{
	struct seq_file *seq = ctx->meta->seq;

	if (ctx->cgroup)
		BPF_SEQ_PRINTF(seq, "cgroup\n");
	else
		BPF_SEQ_PRINTF(seq, "end\n");
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
