// SPDX-License-Identifier: Apache-2.0
/*
 * burst: how long the kernel takes to send frames on an interface.
 *
 * Usage: burst FRAMES
 * For each line on standard input, an interface of the caller's network
 * namespace, it sends FRAMES minimal frames there, 64 with each call, and
 * answers one line of JSON: {"total":..}, in nanoseconds of CLOCK_MONOTONIC.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CALL 64
#define ETHERTYPE 0x88b5 /* IEEE 802: local experimental */

static void fail(const char *what)
{
	fprintf(stderr, "burst: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(int argc, char **argv)
{
	unsigned char frame[64] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, [12] = ETHERTYPE >> 8, ETHERTYPE & 0xff };
	struct iovec vector = { frame, sizeof(frame) };
	struct mmsghdr messages[CALL] = {};
	long frames = argc == 2 ? atol(argv[1]) : 0;
	char name[IF_NAMESIZE + 1];

	if (frames <= 0) {
		fprintf(stderr, "usage: burst FRAMES\n");
		return 2;
	}
	for (int at = 0; at < CALL; at++) {
		messages[at].msg_hdr.msg_iov = &vector;
		messages[at].msg_hdr.msg_iovlen = 1;
	}
	while (fgets(name, sizeof(name), stdin)) {
		struct sockaddr_ll place = { .sll_family = AF_PACKET };
		int fd = socket(AF_PACKET, SOCK_RAW, 0);
		double start;

		name[strcspn(name, "\n")] = 0;
		place.sll_ifindex = if_nametoindex(name);
		if (fd < 0 || !place.sll_ifindex || bind(fd, (void *)&place, sizeof(place)))
			fail(name);
		start = now();
		for (long sent = 0; sent < frames;) {
			int done = sendmmsg(fd, messages, CALL, 0);

			if (done <= 0)
				fail("sendmmsg");
			sent += done;
		}
		printf("{\"total\":%.0f}\n", now() - start);
		fflush(stdout);
		close(fd);
	}
	return 0;
}
