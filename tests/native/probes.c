/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A program with USDT probes and functions to probe: for each byte that it reads it passes all of them once, calls
 * libc's getppid, and answers with a byte: whether the guarded probe's semaphore was set. */
#include <unistd.h>

#include "notes.h"

unsigned short demo_guarded_semaphore __attribute__((section(".probes")));
static volatile int counter = -77;
static volatile unsigned char bytes[4] = {0x11, 0xfe, 0x33, 0x44};

/* Names as the compilers of C++, Rust and Go make them. */
int cxx(int value) __asm__("_ZN4demo5paintEi");
int rust(int value) __asm__("_RNvCsbDqzXfLQacH_4demo5paint");
int go(int value) __asm__("main.paint");
__attribute__((noinline)) int cxx(int value) { __asm__ __volatile__("nop"); return value + 1; }
__attribute__((noinline)) int rust(int value) { __asm__ __volatile__("nop;nop"); return value + 2; }
__attribute__((noinline)) int go(int value) { __asm__ __volatile__("nop;nop;nop"); return value + 3; }

static __attribute__((noinline)) void kinds(long wide, int narrow, short small)
{
	volatile long local = 0x1122334455667788;
	volatile signed char tiny = -2;

	/* constants, registers and memory, of each size, signed and not */
	PROBE(demo, kinds, 0,
	      "-4@$-9 8@%[wide] -4@%k[narrow] 2@%w[small] -2@%w[small] 8@%[local] 4@%[local] -1@%[tiny] 1@%[tiny] "
	      "-4@counter(%%rip) 1@bytes+1(%%rip) 8f@%%xmm0",
	      [wide] "r"(wide), [narrow] "r"(narrow), [small] "r"(small), [local] "m"(local), [tiny] "m"(tiny));
}

static __attribute__((noinline)) void sites(int turn)
{
	PROBE(demo, sites, 0, "-4@%[turn] -4@$1", [turn] "r"(turn));
	PROBE(demo, sites, 0, "-4@%[turn] -4@$2", [turn] "r"(turn));
	PROBE(demo, sites, 0, "-4@%[turn] -4@$3", [turn] "r"(turn));
}

__attribute__((noinline)) int work(int turn)
{
	PROBE(demo, plain, 0, "", [none] "i"(0));
	PROBE(other, plain, 0, "-4@%[turn]", [turn] "r"(turn));
	return turn + counter + bytes[0];
}

int main(void)
{
	unsigned char byte;
	int turn = 0;

	while (read(0, &byte, 1) == 1) {
		unsigned char guarded = demo_guarded_semaphore != 0;

		kinds(-5, -6, (short)0x8001);
		sites(++turn);
		if (guarded)
			PROBE(demo, guarded, demo_guarded_semaphore, "-4@%[turn]", [turn] "r"(turn));
		byte = ((work(turn) + cxx(turn) + rust(turn) + go(turn) + getppid()) & 0) | guarded;
		if (write(1, &byte, 1) != 1)
			return 1;
	}
	return 0;
}
