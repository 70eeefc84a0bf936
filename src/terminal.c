#include "terminal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
terminal_failure(int code, const char *format, ...)
{
	va_list args;

	fputs("smtp-gated: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return code;
}

int
terminal_printed(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	return terminal_failure(EXIT_FAILURE, "standard output: %s", strerror(errno));
}
