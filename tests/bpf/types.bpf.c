// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One program for each program type whose effect a test must see: it counts its runs, and refuses where it can. */
#include "hits.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} group SEC(".maps");

SEC("xdp") int on_xdp(void *ctx) { hit(); return refuse ? XDP_DROP : XDP_PASS; }
SEC("tcx/ingress") int on_tcx(void *ctx) { hit(); return -1; /* TCX_NEXT */ }
COUNTING("tracepoint/syscalls/sys_enter_getppid", on_tracepoint)
COUNTING("uprobe", on_uprobe)
COUNTING("uretprobe", on_uretprobe)
COUNTING("kprobe/do_sys_openat2", on_kprobe)
COUNTING("kretprobe", on_kretprobe)
COUNTING("fentry/do_sys_openat2", on_fentry)
COUNTING("fexit", on_fexit)
REFUSING("fmod_ret/security_inode_mkdir", on_fmod_ret)
REFUSING("lsm/inode_mkdir", on_lsm)
REFUSING("lsm.s/file_open", on_sleepable_lsm)

COUNTING("raw_tp/sys_enter", on_raw_tracepoint)
COUNTING("raw_tracepoint", on_raw_tracepoint_too)
COUNTING("tp_btf/sys_enter", on_tp_btf)
COUNTING("kprobe.multi", on_kprobe_multi)
COUNTING("kretprobe.multi/vfs_*", on_kretprobe_multi)
COUNTING("usdt", on_usdt)
COUNTING("uprobe.multi", on_uprobe_multi)
COUNTING("uretprobe.multi", on_uretprobe_multi)
COUNTING("perf_event", on_perf_event)
SEC("iter/task") int on_iterator(void *ctx) { hit(); return 0; }

#define PASSING(section, name) SEC(section) int name(void *ctx) { hit(); return 1; }

ALLOWING("cgroup_skb/ingress", on_ingress)
ALLOWING("cgroup_skb/egress", on_egress)
ALLOWING("cgroup/sock_create", on_sock_create)
PASSING("cgroup/sock_release", on_sock_release)
ALLOWING("cgroup/post_bind4", on_post_bind4)
ALLOWING("cgroup/post_bind6", on_post_bind6)
ALLOWING("cgroup/bind4", on_bind4)
ALLOWING("cgroup/bind6", on_bind6)
ALLOWING("cgroup/connect4", on_connect4)
ALLOWING("cgroup/connect6", on_connect6)
ALLOWING("cgroup/sendmsg4", on_sendmsg4)
ALLOWING("cgroup/sendmsg6", on_sendmsg6)
PASSING("cgroup/recvmsg4", on_recvmsg4)
PASSING("cgroup/recvmsg6", on_recvmsg6)
PASSING("cgroup/getpeername4", on_getpeername4)
PASSING("cgroup/getpeername6", on_getpeername6)
PASSING("cgroup/getsockname4", on_getsockname4)
PASSING("cgroup/getsockname6", on_getsockname6)
ALLOWING("cgroup/setsockopt", on_setsockopt)
ALLOWING("cgroup/getsockopt", on_getsockopt)
ALLOWING("cgroup/sysctl", on_sysctl)
ALLOWING("cgroup/dev", on_device)
PASSING("sockops", on_sockops)
ALLOWING("lsm_cgroup/socket_create", on_lsm_cgroup)
ALLOWING("netfilter", on_netfilter)
ALLOWING("sk_lookup", on_sk_lookup)
ALLOWING("sk_msg", on_sk_msg)
ALLOWING("sk_skb/stream_verdict", on_stream_verdict)
ALLOWING("sk_skb/verdict", on_verdict)
SEC("flow_dissector") int on_flow(void *ctx) { hit(); return BPF_OK; }
SEC("sk_skb/stream_parser") int on_stream_parser(struct __sk_buff *ctx) { hit(); return ctx->len; }

SEC("socket") int on_socket_filter(void *ctx) { hit(); return refuse ? 0 : 20; }

/* Gives everything to the second socket of the group. */
SEC("sk_reuseport") int on_sk_reuseport(struct sk_reuseport_md *ctx)
{
	__u32 second = 1;

	hit();
	bpf_sk_select_reuseport(ctx, &group, &second, 0);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "GPL";
