#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TEXT_MAX = SECRET_MAX + 16, /* with blanks at its end */
};

/* Returns how many bytes; -1: errno.  More than fit are as good as too many. */
static ssize_t
read_all(int fd, char text[static TEXT_MAX])
{
	size_t size = 0;
	ssize_t got;

	while (size < TEXT_MAX && (got = read(fd, text + size, TEXT_MAX - size)) != 0) {
		if (got < 0)
			return -1;
		size += (size_t)got;
	}
	return (ssize_t)size;
}

/* What is wrong with the file itself, or NULL. */
static const char *
fault_of_file(int fd)
{
	struct stat status;

	if (fd < 0 || fstat(fd, &status) != 0)
		return strerror(errno);
	if (!S_ISREG(status.st_mode))
		return "is no ordinary file";
	if (status.st_mode & (S_IRWXO | S_IWGRP))
		return "must be for its owner alone, or readable for its group: "
		       "chmod 640";
	return NULL;
}

static const char *
fault_of_text(const char *text, size_t size, size_t least)
{
	if (memchr(text, '\0', size) || memchr(text, '\n', size))
		return "must hold one line of text";
	if (size < least && least == 1)
		return "is empty: it must hold one line of text";
	if (size < least)
		return "is too short; \"openssl rand -hex 32\" makes a good key";
	if (size > SECRET_MAX)
		return "is too long: 256 bytes are enough";
	return NULL;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const char *
read_from(int fd, struct secret *secret, size_t least)
{
	char text[TEXT_MAX];
	const char *fault = fault_of_file(fd);
	ssize_t got = fault ? 0 : read_all(fd, text);
	size_t size = (size_t)got;

	if (fault)
		return fault;
	if (got < 0)
		return strerror(errno);
	while (size > 0 && is_blank(text[size - 1]))
		size--;
	fault = fault_of_text(text, size, least);
	if (!fault) {
		secret->size = size;
		memcpy(secret->bytes, text, size);
	}
	explicit_bzero(text, sizeof(text));
	return fault;
}

bool
secret_read(struct secret *secret, const char *file, size_t least, char *why,
            size_t why_size)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *fault;

	secret->size = 0;
	fault = read_from(fd, secret, least);
	if (fd >= 0)
		close(fd);
	if (fault)
		snprintf(why, why_size, "%s: %s", file, fault);
	return !fault;
}
