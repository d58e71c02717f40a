"""Numbers and struct layouts of the kernel's interface, each with its header and first Linux release.

Only what skep uses. Layouts are ``struct.Struct`` in native byte order with explicit padding ("=" plus ``x``); fields
that later kernels append are left out, which the kernel allows for every ``bpf_attr``.
"""

from __future__ import annotations

import struct
from typing import Final

# ---- enum bpf_cmd, linux/bpf.h
MAP_CREATE: Final = 0  # 3.18
MAP_LOOKUP_ELEM: Final = 1  # 3.18
MAP_UPDATE_ELEM: Final = 2  # 3.18
MAP_DELETE_ELEM: Final = 3  # 3.18
MAP_GET_NEXT_KEY: Final = 4  # 3.18
PROG_LOAD: Final = 5  # 3.18
OBJ_PIN: Final = 6  # 4.4
OBJ_GET: Final = 7  # 4.4
PROG_TEST_RUN: Final = 10  # 4.12
PROG_GET_NEXT_ID: Final = 11  # 4.13
MAP_GET_NEXT_ID: Final = 12  # 4.13
PROG_GET_FD_BY_ID: Final = 13  # 4.13
MAP_GET_FD_BY_ID: Final = 14  # 4.13
OBJ_GET_INFO_BY_FD: Final = 15  # 4.13
PROG_ATTACH: Final = 8  # 4.10
PROG_DETACH: Final = 9  # 4.10
PROG_QUERY: Final = 16  # 4.15
RAW_TRACEPOINT_OPEN: Final = 17  # 4.17
BTF_LOAD: Final = 18  # 4.18
BTF_GET_FD_BY_ID: Final = 19  # 4.18
TASK_FD_QUERY: Final = 20  # 4.18
MAP_LOOKUP_AND_DELETE_ELEM: Final = 21  # 4.20
MAP_LOOKUP_BATCH: Final = 24  # 5.6
BTF_GET_NEXT_ID: Final = 23  # 5.4
LINK_CREATE: Final = 28  # 5.7
LINK_UPDATE: Final = 29  # 5.7
LINK_GET_FD_BY_ID: Final = 30  # 5.8
LINK_GET_NEXT_ID: Final = 31  # 5.8
ITER_CREATE: Final = 33  # 5.8
LINK_DETACH: Final = 34  # 5.9

# ---- enum bpf_prog_type, linux/bpf.h
PROG_TYPE_KPROBE: Final = 2
PROG_TYPE_SCHED_CLS: Final = 3
PROG_TYPE_SCHED_ACT: Final = 4
PROG_TYPE_TRACEPOINT: Final = 5
PROG_TYPE_XDP: Final = 6
PROG_TYPE_PERF_EVENT: Final = 7
PROG_TYPE_RAW_TRACEPOINT: Final = 17
PROG_TYPE_TRACING: Final = 26
PROG_TYPE_STRUCT_OPS: Final = 27
PROG_TYPE_EXT: Final = 28
PROG_TYPE_LSM: Final = 29

# ---- enum bpf_attach_type, linux/bpf.h
TRACE_RAW_TP: Final = 23  # 5.5
TRACE_FENTRY: Final = 24  # 5.5
LSM_MAC: Final = 27  # 5.7
TRACE_ITER: Final = 28  # 5.8
XDP: Final = 37  # 5.9
PERF_EVENT: Final = 41  # 5.15
TRACE_KPROBE_MULTI: Final = 42  # 5.18
STRUCT_OPS: Final = 44  # 6.4
NETFILTER: Final = 45  # 6.4
TCX_INGRESS: Final = 46  # 6.6
TCX_EGRESS: Final = 47  # 6.6
TRACE_UPROBE_MULTI: Final = 48  # 6.6
NETKIT_PRIMARY: Final = 54  # 6.7
NETKIT_PEER: Final = 55

# ---- enum bpf_link_type, linux/bpf.h
LINK_TYPE_RAW_TRACEPOINT: Final = 1
LINK_TYPE_TRACING: Final = 2
LINK_TYPE_CGROUP: Final = 3
LINK_TYPE_ITER: Final = 4
LINK_TYPE_NETNS: Final = 5
LINK_TYPE_XDP: Final = 6
LINK_TYPE_PERF_EVENT: Final = 7
LINK_TYPE_KPROBE_MULTI: Final = 8
LINK_TYPE_STRUCT_OPS: Final = 9
LINK_TYPE_NETFILTER: Final = 10
LINK_TYPE_TCX: Final = 11
LINK_TYPE_UPROBE_MULTI: Final = 12
LINK_TYPE_NETKIT: Final = 13
LINK_TYPE_SOCKMAP: Final = 14

# ---- enum bpf_map_type, linux/bpf.h
MAP_TYPE_ARRAY: Final = 2
MAP_TYPE_PROG_ARRAY: Final = 3
MAP_TYPE_PERF_EVENT_ARRAY: Final = 4
MAP_TYPE_PERCPU_ARRAY: Final = 6
MAP_TYPE_ARRAY_OF_MAPS: Final = 12
MAP_TYPE_HASH_OF_MAPS: Final = 13
MAP_TYPE_DEVMAP: Final = 14
MAP_TYPE_CPUMAP: Final = 16
MAP_TYPE_DEVMAP_HASH: Final = 25
MAP_TYPE_STRUCT_OPS: Final = 26  # 5.6
MAP_TYPE_RINGBUF: Final = 27

# ---- flags, linux/bpf.h
F_RDONLY: Final = 1 << 3  # open_flags of BPF_MAP_GET_FD_BY_ID; a property of a descriptor, never of a map
F_RDONLY_PROG: Final = 1 << 7  # BPF_MAP_CREATE; devmaps always report it
F_PRESERVE_ELEMS: Final = 1 << 11  # BPF_MAP_CREATE of a perf event array; 5.10
F_LINK_MAP: Final = 1 << 13  # BPF_F_LINK of BPF_MAP_CREATE: a struct_ops that a link registers; 6.4
F_SLEEPABLE: Final = 1 << 4  # BPF_PROG_LOAD; 5.10
F_XDP_HAS_FRAGS: Final = 1 << 5  # BPF_PROG_LOAD; 5.18
F_REPLACE: Final = 1 << 2  # BPF_LINK_UPDATE; 5.7
F_BEFORE: Final = 1 << 3  # BPF_LINK_CREATE of TCX; 6.6
F_AFTER: Final = 1 << 4
F_LINK: Final = 1 << 13

BTF_KIND_FUNC: Final = 12

OBJ_NAME_LEN: Final = 16  # BPF_OBJ_NAME_LEN with the final NUL
MAX_USED_MAPS: Final = 64  # linux/bpf_verifier.h: maps of one program

# ---- bpf_attr of each command
ATTR_MAP_CREATE: Final = struct.Struct("=IIIIIII16s")
"""map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node, map_name"""
ATTR_STRUCT_OPS_CREATE: Final = struct.Struct("=IIIII8x16s16xI")
"""map_type, key_size, value_size, max_entries, map_flags, map_name, btf_vmlinux_value_type_id; 5.6"""
ATTR_MAP_ELEM: Final = struct.Struct("=I4xQQQ")
"""map_fd, key, value, flags"""
ATTR_MAP_BATCH: Final = struct.Struct("=QQQQIIQQ")
"""in_batch, out_batch, keys, values, count (in and out), map_fd, elem_flags, flags; 5.6"""
MAP_BATCH_COUNT_AT: Final = 32
ATTR_OBJ: Final = struct.Struct("=QII")
"""pathname, bpf_fd, file_flags"""
ATTR_ID: Final = struct.Struct("=III")
"""start id (in), next id (out), open_flags"""
ATTR_INFO: Final = struct.Struct("=IIQ")
"""bpf_fd, info_len, info"""
ATTR_LINK_CREATE: Final = struct.Struct("=IIII")
"""prog_fd, target_fd or target_ifindex, attach_type, flags; a tail by attach type follows"""
TAIL_PERF_EVENT: Final = struct.Struct("=Q")
"""bpf_cookie; 5.15"""
TAIL_KPROBE_MULTI: Final = struct.Struct("=IIQQQ")
"""flags, count, names, addresses, cookies; 5.18"""
TAIL_UPROBE_MULTI: Final = struct.Struct("=QQQQIII4x")
"""path, offsets, reference counter offsets, cookies, count, flags, pid; 6.6"""
TAIL_NETFILTER: Final = struct.Struct("=IIiI")
"""family, hook, priority, flags; 6.4"""
TAIL_ORDERED: Final = struct.Struct("=I4xQ")
"""relative_fd or id, expected_revision (TCX, netkit; 6.6; cgroup: 6.16)"""
ATTR_RAW_TRACEPOINT_OPEN: Final = struct.Struct("=QI4x")
"""name (0: what the program was loaded for), prog_fd; a cookie follows since 6.10"""
ATTR_LINK_UPDATE: Final = struct.Struct("=IIII")
"""link_fd, new_prog_fd, flags, old_prog_fd"""
ATTR_PROG_ATTACH: Final = struct.Struct("=IIII")  # target_fd, attach_bpf_fd, attach_type, attach_flags
ATTR_PROG_QUERY: Final = struct.Struct("=IIIIQI4xQQQQ")
"""target, attach_type, query_flags, attach_flags, prog_ids, count (in and out), prog_attach_flags, link_ids,
link_attach_flags, revision"""
ATTR_TASK_FD_QUERY: Final = struct.Struct("=IIIIQIIQQ")
"""pid, fd, flags, buf_len (in and out), buf, prog_id (out), fd_type (out), probe_offset (out), probe_addr (out)"""
ATTR_TEST_RUN: Final = struct.Struct("=IIIIQQIIIIQQIII4x")
"""prog_fd, retval (out), data_size_in, data_size_out (in and out), data_in, data_out, repeat, duration (out, ns),
ctx_size_in, ctx_size_out (in and out), ctx_in, ctx_out, flags, cpu, batch_size"""
ATTR_ITER_CREATE: Final = struct.Struct("=II")
"""link_fd, flags"""
TAIL_ITERATOR: Final = struct.Struct("=QI4x")
"""iter_info, iter_info_len; 5.9"""
ITERATOR_INFO: Final = struct.Struct("=IIQ")
"""union bpf_iter_link_info: map_fd (5.9); tid, pid, pid_fd (6.1); order, cgroup_fd, cgroup_id (6.1)"""
ATTR_BTF_LOAD: Final = struct.Struct("=QQIIII")
"""btf, btf_log_buf, btf_size, btf_log_size, btf_log_level, btf_log_true_size"""
ATTR_PROG_LOAD: Final = struct.Struct("=IIQQIIQII16sIIIIQIIQIIIIQQII")
"""prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags, prog_name,
prog_ifindex, expected_attach_type, prog_btf_fd, func_info_rec_size, func_info, func_info_cnt, line_info_rec_size,
line_info, line_info_cnt, attach_btf_id, attach_prog_fd, core_relo_cnt, fd_array, core_relos, core_relo_rec_size,
log_true_size (out; 6.4)"""
PROG_LOAD_LOG_TRUE_SIZE: Final = 140

# ---- bpf_*_info
PROG_INFO_SIZE: Final = 232
PROG_INFO: Final = struct.Struct("=II8sII16xQII8x16s4xI40xIIQI44xQQQI12x")
"""type, id, tag, jited_prog_len, xlated_prog_len, load_time, created_by_uid, nr_map_ids, name, gpl_compatible (bit 0),
btf_id, func_info_rec_size, func_info, nr_func_info, run_time_ns, run_cnt, recursion_misses, verified_insns"""
PROG_INFO_MAPS: Final = struct.Struct("=IQ")
PROG_INFO_MAPS_AT: Final = 52
PROG_INFO_FUNCS: Final = struct.Struct("=IQI")
PROG_INFO_FUNCS_AT: Final = 132
MAP_INFO_SIZE: Final = 88
MAP_INFO: Final = struct.Struct("=IIIIII16s4xI16xIII4xQ")
"""type, id, key_size, value_size, max_entries, map_flags, name, btf_vmlinux_value_type_id, btf_id, btf_key_type_id,
btf_value_type_id, map_extra"""
LINK_INFO_SIZE: Final = 80
LINK_INFO: Final = struct.Struct("=III4xIIIIIIQ")
"""type, id, prog_id, then six words and a u64 whose meaning depends on the type"""
BTF_INFO: Final = struct.Struct("=QIIQII")
"""btf, btf_size, id, name, name_len, kernel_btf"""
LINK_INFO_UPROBE_COUNT_AT: Final = 52
"""struct uprobe_multi.count in bpf_link_info; 6.8"""
LINK_INFO_UNION_AT: Final = 16
LINK_INFO_NAME: Final = struct.Struct("=QI")
"""raw_tracepoint: tp_name, tp_name_len (5.8); iter: target_name, target_name_len (5.10)"""
LINK_INFO_UPROBE: Final = struct.Struct("=QQQQI")
"""uprobe_multi: path, offsets, ref_ctr_offsets, cookies, path_size; 6.8"""
FUNC_INFO: Final = struct.Struct("=II")
"""insn_off, type_id: struct bpf_func_info"""

# ---- linux/perf_event.h
PERF_ATTR: Final = struct.Struct("=IIQQQQQIIQQ")
"""type, size, config, sample_period, sample_type, read_format, flag bits, wakeup_events, bp_type, config1, config2:
PERF_ATTR_SIZE_VER1"""
PERF_ATTR_FREQ: Final = 1 << 10  # "freq" in the flag bits: sample_period is a frequency
PERF_TYPE_SOFTWARE: Final = 1
PERF_TYPE_TRACEPOINT: Final = 2
PERF_COUNT_SW_BPF_OUTPUT: Final = 10  # 4.4
PERF_SAMPLE_RAW: Final = 1 << 10
PERF_RECORD_LOST: Final = 2
PERF_RECORD_SAMPLE: Final = 9
PERF_EVENT_IOC_ENABLE: Final = 0x2400
PERF_FLAG_FD_CLOEXEC: Final = 8
# enum bpf_perf_event_type, linux/bpf.h; 6.6
PERF_UPROBE: Final = 1
PERF_URETPROBE: Final = 2
PERF_KPROBE: Final = 3
PERF_KRETPROBE: Final = 4
PERF_TRACEPOINT: Final = 5

# ---- asm-generic/socket.h; level SOL_SOCKET
SOL_SOCKET: Final = 1
SO_TYPE: Final = 3
SO_REUSEPORT: Final = 15
SO_GET_FILTER: Final = 26
SO_DETACH_BPF: Final = 27
SO_PROTOCOL: Final = 38
SO_DOMAIN: Final = 39
SO_ATTACH_BPF: Final = 50  # 3.19
SO_ATTACH_REUSEPORT: Final = 52  # SO_ATTACH_REUSEPORT_EBPF; 4.5, sk_reuseport programs 4.19
SO_COOKIE: Final = 57  # 4.12
SO_DETACH_REUSEPORT: Final = 68  # SO_DETACH_REUSEPORT_BPF; 5.3

# ---- linux/magic.h
BPF_FS_MAGIC: Final = 0xCAFE4A11
CGROUP2_SUPER_MAGIC: Final = 0x63677270
PROC_SUPER_MAGIC: Final = 0x9FA0

# ---- linux/if_link.h: flags of XDP attachments
XDP_FLAGS_SKB: Final = 1 << 1
XDP_FLAGS_DRV: Final = 1 << 2
XDP_FLAGS_HW: Final = 1 << 3

# ---- system call numbers: asm/unistd_64.h and asm-generic/unistd.h
SYSCALLS: Final = {
    "x86_64": {
        "bpf": 321, "perf_event_open": 298, "setns": 308, "unshare": 272, "setfsuid": 122, "setfsgid": 123,
        "setgroups": 116, "capget": 125, "capset": 126, "membarrier": 324, "openat2": 437,
        "pidfd_getfd": 438, "umount2": 166, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
        "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446,
    },
    "aarch64": {
        "bpf": 280, "perf_event_open": 241, "setns": 268, "unshare": 97, "setfsuid": 151, "setfsgid": 152,
        "setgroups": 159, "capget": 90, "capset": 91, "membarrier": 283, "openat2": 437,
        "pidfd_getfd": 438, "umount2": 39, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
        "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446,
    },
}  # fmt: skip

CLONE_FS: Final = 0x200
CLONE_NEWNS: Final = 0x20000
CLONE_NEWNET: Final = 0x40000000
MEMBARRIER_CMD_QUERY: Final = 0
MEMBARRIER_CMD_GLOBAL: Final = 1  # 4.3; refused when nohz_full is on
RESOLVE_NO_MAGICLINKS: Final = 0x02  # openat2; 5.6
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10

# ---- linux/mount.h; 5.2
FSOPEN_CLOEXEC: Final = 1
FSCONFIG_SET_FLAG: Final = 0
FSCONFIG_SET_STRING: Final = 1
FSCONFIG_CMD_CREATE: Final = 6
FSCONFIG_CMD_RECONFIGURE: Final = 7
FSMOUNT_CLOEXEC: Final = 1
MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NOSUID: Final = 0x2
MOUNT_ATTR_NODEV: Final = 0x4
MOUNT_ATTR_NOEXEC: Final = 0x8
MOVE_MOUNT_F_EMPTY_PATH: Final = 0x4
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40
MNT_DETACH: Final = 2  # linux/fs.h
UMOUNT_NOFOLLOW: Final = 8

CAP_CHOWN: Final = 0  # linux/capability.h
CAP_SYS_ADMIN: Final = 21
CAPABILITY_VERSION_3: Final = 0x20080522
ENOTSUPP: Final = 524  # linux/errno.h, never meant for user space, yet bpf(2) returns it
