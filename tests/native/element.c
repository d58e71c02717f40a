/* A pod's program that knows nothing but bpf(2): element get|get-only|set MAP KEY [VALUE], for 8-byte values.
 *
 * get opens the pinned map for reading and writing, as libraries do unless told otherwise; get-only for reading alone. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 1;
}

int main(int count, char **words) {
    if (count < 4) {
        fprintf(stderr, "usage: element get|get-only|set MAP KEY [VALUE]\n");
        return 2;
    }
    union bpf_attr attr = {};
    attr.pathname = (unsigned long)words[2];
    attr.file_flags = strcmp(words[1], "get-only") ? 0 : BPF_F_RDONLY;
    int map = syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof attr);
    if (map < 0)
        return fail(words[2]);
    unsigned int key = atoi(words[3]);
    unsigned long long value = count > 4 ? strtoull(words[4], NULL, 0) : 0;
    memset(&attr, 0, sizeof attr);
    attr.map_fd = map;
    attr.key = (unsigned long)&key;
    attr.value = (unsigned long)&value;
    int set = !strcmp(words[1], "set");
    if (syscall(SYS_bpf, set ? BPF_MAP_UPDATE_ELEM : BPF_MAP_LOOKUP_ELEM, &attr, sizeof attr) < 0)
        return fail(words[1]);
    printf("%llu\n", value);
    return 0;
}
