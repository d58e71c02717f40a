// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Variables of every section and sort, and maps of every sort of declaration. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct pair {
	__u32 left;
	__u64 right;
};

enum colour { RED, GREEN };
enum wide { WIDE = 1ull << 40 };

const volatile __u32 first = 7;
const volatile __u8 address[16] = { 1 };
const volatile struct pair pair = { 1, 2 };
const volatile enum colour colour = GREEN;
static volatile const char secret[5] = "abcd";
__u64 counter = 3;
static __u32 hidden = 4;
__u16 zero;
const volatile __u64 custom SEC(".rodata.custom") = 9;
const volatile enum wide wide = WIDE;

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, struct pair);
} one_inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { &one_inner } };

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 100);
	__uint(map_flags, BPF_F_NO_COMMON_LRU);
	__uint(key_size, 6);
	__uint(value_size, 12);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} shared SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("xdp") int first_program(struct xdp_md *ctx)
{
	hidden += secret[ctx->rx_queue_index & 3];
	counter += first + address[0] + pair.left + colour + custom + hidden + zero++ + wide;
	return XDP_PASS;
}

SEC("xdp.frags") int second_program(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("tracepoint/syscalls/sys_enter_kill") int third_program(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
