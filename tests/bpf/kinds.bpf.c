// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One small program of each type that skep knows, with a map of each kind, to be loaded by the tests.
// -DRETURN=n changes the XDP verdict (another version), -DVALUE=type the counter map, -DEXTRA adds a map and a variable.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef RETURN
#define RETURN XDP_PASS
#endif
#ifndef VALUE
#define VALUE __u64
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, VALUE);
} hits SEC(".maps");

#ifdef NAMED
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} everybody SEC(".maps");
#endif

#ifdef EXTRA
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} extra SEC(".maps");
__u64 more;
#endif

const volatile __u32 limit = 7;
__u64 seen;
__u32 start = 5;

static __always_inline void count(void)
{
	__u32 key = limit & 3;
	VALUE *value = bpf_map_lookup_elem(&hits, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	__sync_fetch_and_add(&seen, start);
#ifdef NAMED
	__u32 zero = 0;
	__u64 *all = bpf_map_lookup_elem(&everybody, &zero);

	if (all)
		__sync_fetch_and_add(all, 1);
#endif
#ifdef EXTRA
	__u32 none = 0;
	__u64 *one = bpf_map_lookup_elem(&extra, &none);

	if (one)
		__sync_fetch_and_add(one, 1);
	more++;
#endif
}

SEC("xdp")
int first(struct xdp_md *ctx)
{
	count();
	return RETURN;
}

SEC("xdp")
int second(struct xdp_md *ctx)
{
	return RETURN;
}

SEC("xdp.frags")
int third(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("tc")
int packet(struct __sk_buff *skb)
{
	count();
	return -1;
}

SEC("tracepoint/syscalls/sys_enter_getpid")
int point(void *ctx)
{
	count();
	return 0;
}

SEC("uprobe")
int entered(void *ctx)
{
	count();
	return 0;
}

SEC("uretprobe")
int returned(void *ctx)
{
	return 0;
}

#ifdef SOCKETS
SEC("socket")
int kept(struct __sk_buff *skb)
{
	return 20;
}
#endif

SEC("lirc_mode2")
int unknown_kind(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
