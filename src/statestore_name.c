#include "statestore_internal.h"

#include "log.h"
#include "siphash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The name of a gateway goes with what it has counted (ratestore.h): who copies one, copies
 * both, and who loses both is another gateway.
 */

void
name_make(char name[static NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "%016" PRIx64, siphash_random_key().half[0]);
}

void
name_keep(const char name[static NAME_SIZE], const char *directory)
{
	char *path;
	int fd;

	if (!directory[0])
		return;
	path = xasprintf("%s/gateway", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, name, NAME_SIZE - 1) != NAME_SIZE - 1)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text",
		                   "the name of this gateway cannot be kept: what it "
		                   "has counted may count twice after a restart"),
		          log_text("file", path), log_error(errno));
	if (fd >= 0)
		close(fd);
	free(path);
}

static bool
read_name(char name[static NAME_SIZE], const char *directory)
{
	char *path = xasprintf("%s/gateway", directory);
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	ssize_t got = fd >= 0 ? read(fd, name, NAME_SIZE - 1) : -1;

	if (fd >= 0)
		close(fd);
	free(path);
	name[NAME_SIZE - 1] = '\0';
	return got == NAME_SIZE - 1 &&
	       strspn(name, "0123456789abcdef") == NAME_SIZE - 1;
}

void
name_find(char name[static NAME_SIZE], const char *directory)
{
	if (directory[0] && read_name(name, directory))
		return;
	name_make(name);
	name_keep(name, directory);
}
