/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A library with two versions of one function, and a hidden one that no name without a version means. */
int answer_old(void);
int answer_new(void);
__asm__(".symver answer_old, answer@OLD_1");
__asm__(".symver answer_new, answer@@NEW_2");

__attribute__((noinline)) int answer_old(void) { return 1; }
__attribute__((noinline)) int answer_new(void) { return 2; }
