// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A map of each kind whose contents user space can reach, with values of every shape that BTF can describe.
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

enum level { LOW = -1, NORMAL, HIGH = 7 };
typedef __u16 port_t;

struct flow {
	__be32 source;
	port_t port;
	__u8 protocol;
	__u8 pad;
};

struct mixed {
	__u64 packets;
	__s32 balance;
	enum level level;
	char label[8];
	__u8 mac[6];
	_Bool seen;
	__u32 low : 3;
	__s32 middle : 5;
	__u32 high : 24;
	union {
		__u32 word;
		__u8 bytes[4];
	};
	struct {
		__u16 left, right;
	} pair[2];
	union {
		__u64 whole;
		struct flow flow;
	} either;
	void *where;
};

struct ratios {
	double ratio;
	float part;
};

struct event {
	__u32 number;
	char name[12];
};

#define MAP(kind, name_, entries, key_, value_, flags)                                                                 \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_##kind);                                                                     \
		__uint(max_entries, entries);                                                                          \
		__uint(map_flags, flags);                                                                              \
		__type(key, key_);                                                                                     \
		__type(value, value_);                                                                                 \
	} name_ SEC(".maps")

MAP(HASH, flows, 64, struct flow, struct mixed, 0);
MAP(HASH, large, 20000, __u32, __u64, 0);
MAP(LRU_HASH, recent, 64, __u32, __u64, 0);
MAP(ARRAY, counts, 4, __u32, __u64, 0);
MAP(PERCPU_ARRAY, per_cpu, 2, __u32, __u32, 0);
MAP(PERCPU_HASH, per_cpu_hash, 16, struct flow, __u64, 0);
MAP(HASH, ratios, 4, __u32, struct ratios, 0);

struct prefix {
	__u32 length;
	__u8 address[4];
};
MAP(LPM_TRIE, routes, 16, struct prefix, __u32, BPF_F_NO_PREALLOC);

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, struct event);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 4);
	__type(value, __u32);
} stack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 100);
	__type(value, __u32);
} bloom SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} inner_one SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { &inner_one } };

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} jumps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps");

const volatile __u32 limit = 7;
__u32 setting = 5;
struct event *unused_event;
struct flow last = { .port = 9 };

#define USE(map)                                                                                                       \
	do {                                                                                                           \
		void *found = &map;                                                                                    \
		__asm__ volatile("" : : "r"(found));                                                                   \
	} while (0)

SEC("tracepoint/syscalls/sys_enter_getpgid")
int on_tracepoint(void *ctx)
{
	struct event event = { .number = setting, .name = "hello" };

	if (bpf_get_current_pid_tgid() >> 32 != limit)
		return 0;
	bpf_ringbuf_output(&ring, &event, sizeof(event), 0);
	bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &event, sizeof(event));
	setting++;
	last.port++;
	return 0;
}

SEC("xdp")
int on_xdp(struct xdp_md *ctx)
{
	USE(flows);
	USE(large);
	USE(recent);
	USE(counts);
	USE(per_cpu);
	USE(per_cpu_hash);
	USE(ratios);
	USE(routes);
	USE(queue);
	USE(stack);
	USE(bloom);
	USE(inner_one);
	USE(outer);
	USE(jumps);
	USE(devices);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
