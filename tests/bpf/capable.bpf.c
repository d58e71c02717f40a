// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One program for each capability that a test expects; none of them needs to load.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} hits SEC(".maps");

char word[16];

static __always_inline __u8 *packet(struct xdp_md *ctx)
{
    __u8 *data = (void *)(long)ctx->data;
    return data + 14 > (__u8 *)(long)ctx->data_end ? 0 : data;
}

SEC("xdp") int counts(struct xdp_md *ctx)
{
    __u32 key = 0;
    __u64 *hit = bpf_map_lookup_elem(&hits, &key);
    __u8 *data = packet(ctx);
    if (hit && data)
        *hit += data[12]; // reads the packet, writes the map
    return XDP_PASS;
}

SEC("xdp") int writes(struct xdp_md *ctx)
{
    __u8 *data = packet(ctx);
    if (data)
        data[0] = 2;
    return XDP_PASS;
}

static __attribute__((noinline)) int mend(__u8 *place, __u8 with)
{
    *place = with;
    return 0;
}

SEC("xdp") int writes_in_a_subprogram(struct xdp_md *ctx)
{
    __u8 *data = packet(ctx);
    return data ? mend(data + 6, 1) + XDP_PASS : XDP_DROP;
}

SEC("xdp") int writes_through_the_stack(struct xdp_md *ctx)
{
    __u8 *volatile kept = packet(ctx);
    __u8 *data = kept;
    if (data)
        data[1] = 1;
    return XDP_PASS;
}

struct turn { __u8 *data; };
static long each(__u32 index, struct turn *turn)
{
    if (turn->data)
        turn->data[index] = 0;
    return 0;
}

SEC("xdp") int writes_in_a_callback(struct xdp_md *ctx)
{
    struct turn turn = { .data = packet(ctx) };
    bpf_loop(6, each, &turn, 0);
    return XDP_PASS;
}

SEC("tc") int stores_bytes(struct __sk_buff *skb)
{
    bpf_skb_store_bytes(skb, 0, word, 6, 0);
    return 0;
}

SEC("tc") int redirects(struct __sk_buff *skb) { return bpf_redirect(1, 0); }

SEC("kprobe/do_unlinkat") int overrides(void *ctx)
{
    bpf_override_return(ctx, -1);
    return 0;
}

SEC("uprobe") int spies(void *ctx)
{
    bpf_probe_read_user(word, sizeof(word), ctx);
    bpf_probe_read_kernel(word, sizeof(word), ctx);
    bpf_probe_write_user(ctx, word, sizeof(word));
    bpf_send_signal(9);
    bpf_printk("%s", word);
    return 0;
}

extern void bpf_rcu_read_lock(void) __attribute__((section(".ksyms")));
SEC("tp_btf/sched_switch") int calls_the_kernel(void *ctx)
{
    bpf_rcu_read_lock();
    return 0;
}

SEC("lsm/file_open") int refuses(void *ctx) { return -1; }

SEC("uprobe") int harmless(void *ctx) { return 0; }

SEC("no_such_section") int of_no_known_type(void *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
