#ifndef BENCH_TOOL_H
#define BENCH_TOOL_H

#include <netinet/in.h>
#include <stdint.h>
#include <stdnoreturn.h>

/*
 * What the load and the sink have in common.  They end at once when the machine does not
 * give what they need: a measurement that limps along is worse than none.
 */
noreturn void tool_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* As tool_die(), with the words of errno behind. */
noreturn void tool_die_errno(const char *what);

/* Reads a number of an option, LOWEST to HIGHEST, or dies naming the option. */
uint64_t tool_number(char option, const char *text, uint64_t lowest, uint64_t highest);

/* The address of ADDRESS:PORT, IPv4. */
struct sockaddr_in tool_address(const char *address, uint16_t port);

/* Nanoseconds of a clock that only goes forward. */
uint64_t tool_now(void);

/* As many descriptors as the hard limit gives. */
void tool_raise_descriptors(void);

/* Small packets leave at once. */
void tool_no_delay(int fd);

#endif
