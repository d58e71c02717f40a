// SPDX-License-Identifier: Apache-2.0
/*
 * lifecycle: what one load, attach, detach and unload costs a C program on libbpf.
 *
 * The peer of bench/lifecycle.py. It does what a manager cannot do without: it
 * opens an object, loads one program, pins program and maps, attaches by a
 * bpf_link, pins the link; then takes the link's pin away, closes the link (in
 * this order, which is the synchronous one), takes the other pins away and
 * closes the object. No database, no checks, nobody to answer.
 *
 * One round per line on standard input, so that a caller can interleave rounds
 * with something else. Each answer is one line of JSON, times in nanoseconds of
 * CLOCK_MONOTONIC, taken inside:
 *   {"open":..,"load":..,"attach":..,"detach":..,"unload":..,"total":..}
 *
 * Usage: lifecycle OBJECT PROGRAM PIN-DIRECTORY xdp|tcx INTERFACE
 *        lifecycle OBJECT PROGRAM PIN-DIRECTORY tracepoint GROUP/NAME
 * The interface is looked up in the network namespace of the caller.
 */
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* enum bpf_attach_type of Linux 6.6; libbpf 1.1's headers lack it. */
#define TCX_INGRESS 46

struct asked {
	const char *object, *program, *pins, *hook, *place;
};

static void die(const char *what, ...)
{
	int error = errno;
	va_list values;

	va_start(values, what);
	fprintf(stderr, "lifecycle: ");
	vfprintf(stderr, what, values);
	fprintf(stderr, ": %s\n", strerror(error));
	va_end(values);
	exit(1);
}

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

/* The link of libbpf, or for TCX, which libbpf 1.1 cannot attach, just the fd. */
struct attached {
	struct bpf_link *link;
	int fd;
};

static struct attached attach(const struct asked *asked, struct bpf_program *program)
{
	struct attached made = { .fd = -1 };

	if (!strcmp(asked->hook, "tracepoint")) {
		char *group = strdup(asked->place), *name = strchr(group, '/');

		if (!name)
			die("%s is not GROUP/NAME", asked->place);
		*name++ = 0;
		made.link = bpf_program__attach_tracepoint(program, group, name);
		free(group);
	} else {
		int ifindex = if_nametoindex(asked->place);

		if (!ifindex)
			die("interface %s", asked->place);
		if (!strcmp(asked->hook, "tcx")) {
			made.fd = bpf_link_create(bpf_program__fd(program), ifindex, TCX_INGRESS, NULL);
			if (made.fd < 0)
				die("attach to %s", asked->place);
			return made;
		}
		made.link = bpf_program__attach_xdp(program, ifindex);
	}
	if (!made.link)
		die("attach to %s", asked->place);
	return made;
}

static void detach(struct attached *made, const char *pin)
{
	if (unlink(pin))
		die("unlink %s", pin);
	if (made->link)
		bpf_link__destroy(made->link);
	else
		close(made->fd);
}

static void round_trip(const struct asked *asked)
{
	char program_pin[256], link_pin[256], map_pins[256];
	long start, opened, loaded, attached, detached, unloaded;
	struct bpf_object *object;
	struct bpf_program *program, *other;
	struct attached made;

	snprintf(program_pin, sizeof(program_pin), "%s/prog", asked->pins);
	snprintf(link_pin, sizeof(link_pin), "%s/link", asked->pins);
	snprintf(map_pins, sizeof(map_pins), "%s/maps", asked->pins);

	start = now();
	object = bpf_object__open_file(asked->object, NULL);
	if (!object)
		die("open %s", asked->object);
	program = bpf_object__find_program_by_name(object, asked->program);
	if (!program)
		die("no program %s", asked->program);
	bpf_object__for_each_program(other, object)
		bpf_program__set_autoload(other, other == program);
	if (!strcmp(asked->hook, "tcx"))
		bpf_program__set_expected_attach_type(program, TCX_INGRESS);
	opened = now();

	if (bpf_object__load(object))
		die("load %s", asked->object);
	if (bpf_program__pin(program, program_pin))
		die("pin %s", program_pin);
	if (bpf_object__pin_maps(object, map_pins))
		die("pin maps below %s", map_pins);
	loaded = now();

	made = attach(asked, program);
	if (made.link ? bpf_link__pin(made.link, link_pin) : bpf_obj_pin(made.fd, link_pin))
		die("pin %s", link_pin);
	attached = now();

	detach(&made, link_pin);
	detached = now();

	if (bpf_object__unpin_maps(object, map_pins) || rmdir(map_pins))
		die("unpin maps below %s", map_pins);
	if (bpf_program__unpin(program, program_pin))
		die("unpin %s", program_pin);
	bpf_object__close(object);
	unloaded = now();

	printf("{\"open\":%ld,\"load\":%ld,\"attach\":%ld,\"detach\":%ld,\"unload\":%ld,\"total\":%ld}\n",
	       opened - start, loaded - opened, attached - loaded, detached - attached, unloaded - detached,
	       unloaded - start);
	fflush(stdout);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list values)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, values) : 0;
}

int main(int argc, char **argv)
{
	struct asked asked;
	char line[64];

	if (argc != 6 || (strcmp(argv[4], "xdp") && strcmp(argv[4], "tcx") && strcmp(argv[4], "tracepoint"))) {
		fprintf(stderr, "usage: lifecycle OBJECT PROGRAM PIN-DIRECTORY xdp|tcx INTERFACE\n"
				"       lifecycle OBJECT PROGRAM PIN-DIRECTORY tracepoint GROUP/NAME\n");
		return 2;
	}
	asked = (struct asked){ argv[1], argv[2], argv[3], argv[4], argv[5] };
	libbpf_set_print(quiet);
	if (mkdir(asked.pins, 0700))
		die("mkdir %s", asked.pins);
	while (fgets(line, sizeof(line), stdin))
		round_trip(&asked);
	if (rmdir(asked.pins))
		die("rmdir %s", asked.pins);
	return 0;
}
