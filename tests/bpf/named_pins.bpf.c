// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Maps that ask libbpf to pin them under their names, and maps whose sizes the kernel or libbpf rounds. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef VALUE
#define VALUE __u64
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, VALUE);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} skep_shared_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 5000);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

SEC("xdp") int shares(struct xdp_md *ctx)
{
	__u32 key = 0;
	VALUE *value = bpf_map_lookup_elem(&skep_shared_map, &key);
	void *sample = bpf_ringbuf_reserve(&ring, 8, 0);

	if (value)
		*value += 1;
	if (sample)
		bpf_ringbuf_discard(sample, 0);
	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &key, sizeof(key));
	return bpf_redirect_map(&devices, 0, XDP_PASS);
}

char LICENSE[] SEC("license") = "GPL";
