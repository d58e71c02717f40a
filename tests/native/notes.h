/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* USDT probes as <sys/sdt.h> of systemtap writes them, by hand: so that a test can write any argument it likes. */
#ifndef SKEP_TESTS_NOTES_H
#define SKEP_TESTS_NOTES_H

/* PROBE(provider, name, semaphore or 0, "8@%[a] -4@$3", asm operands of the arguments ...) */
#define PROBE(provider, name, semaphore, arguments, ...)                                \
	__asm__ __volatile__("990:	nop\n"                                          \
			     "	.pushsection .note.stapsdt,\"\",@note\n"                \
			     "	.balign 4\n"                                            \
			     "	.4byte 992f-991f, 994f-993f, 3\n"                       \
			     "991:	.asciz \"stapsdt\"\n"                           \
			     "992:	.balign 4\n"                                    \
			     "993:	.8byte 990b\n"                                  \
			     "	.8byte _.stapsdt.base\n"                                \
			     "	.8byte " #semaphore "\n"                                \
			     "	.asciz \"" #provider "\"\n"                             \
			     "	.asciz \"" #name "\"\n"                                 \
			     "	.asciz \"" arguments "\"\n"                             \
			     "994:	.balign 4\n"                                    \
			     "	.popsection\n"                                          \
			     "	.ifndef _.stapsdt.base\n"                               \
			     "	.pushsection .stapsdt.base,\"aG\",@progbits,.stapsdt.base,comdat\n" \
			     "	.weak _.stapsdt.base\n"                                 \
			     "	.hidden _.stapsdt.base\n"                               \
			     "_.stapsdt.base:	.space 1\n"                             \
			     "	.size _.stapsdt.base, 1\n"                              \
			     "	.popsection\n"                                          \
			     "	.endif\n" ::__VA_ARGS__)

#endif
