#include "check_clamav_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * What lies at signature_path.  cl_statchkdir() of libclamav would tell whether it has
 * changed, but not within one second, and for directories only.
 */

enum {
	/* A change so short ago could be followed by another with the same time stamp:
	 * those go by the tick of the kernel's clock, ten milliseconds at most. */
	SAME_STAMP_NS = 20000000,
};

#define SECOND INT64_C(1000000000)

bool
clamav_files_is_database(const char *name)
{
	/* As libclamav has them; freshclam's own notes (freshclam.dat) are none, nor are its
	 * temporary directories. */
	static const char *const ends[] = {
		".cat", ".cbc", ".cdb",  ".cfg",  ".cld", ".crb", ".cud", ".cvd",
		".db",  ".fp",  ".ftm",  ".gdb",  ".hdb", ".hdu", ".hsb", ".hsu",
		".idb", ".ign", ".imp",  ".ign2", ".ioc", ".ldb", ".ldu", ".mdb",
		".mdu", ".msb", ".msu",  ".ndb",  ".ndu", ".pdb", ".rmd", ".pwdb",
		".sdb", ".sfp", ".yara", ".wdb",  ".yar", ".zmd",
	};
	const char *end = strrchr(name, '.');

	for (size_t i = 0; end && i < sizeof ends / sizeof ends[0]; i++)
		if (strcasecmp(end, ends[i]) == 0)
			return true;
	return false;
}

/* -- the print ---------------------------------------------------------------------- */

static uint64_t
mix_bytes(uint64_t print, const void *data, size_t size)
{
	const unsigned char *at = data;

	while (size-- > 0)
		print = (print ^ *at++) * UINT64_C(0x100000001b3); /* FNV-1a */
	return print;
}

static uint64_t
mix(uint64_t print, int64_t value)
{
	return mix_bytes(print, &value, sizeof value);
}

static int64_t
nanoseconds(struct timespec time)
{
	return time.tv_sec * SECOND + time.tv_nsec;
}

/* Whoever may read it is part of it: to be let in is a change. */
static uint64_t
print_of(const char *name, const struct stat *file)
{
	uint64_t print = mix_bytes(UINT64_C(0xcbf29ce484222325), name, strlen(name));

	print = mix(print, (int64_t)file->st_dev);
	print = mix(print, (int64_t)file->st_ino);
	print = mix(print, file->st_size);
	print = mix(print, nanoseconds(file->st_mtim));
	print = mix(print, file->st_mode);
	print = mix(print, file->st_uid);
	return mix(print, file->st_gid);
}

/* -- looking ------------------------------------------------------------------------- */

struct look {
	const char *path;
	struct clamav_files *files;
	int64_t changed; /* when anything last was, in ns since 1970 */
	int64_t written; /* when a file last was */
	unsigned count;
};

/* The first of what is wrong is told; NAME is in the directory, or NULL. */
static void
refuse(struct look *look, const char *name, const char *words)
{
	char *why = look->files->why;

	if (why[0] == '\0')
		snprintf(why, sizeof look->files->why, "%.255s%s%s", name ? name : "",
		         name ? ": " : "", words);
}

static void
refuse_error(struct look *look, const char *name, int error)
{
	uint64_t print = name ? mix_bytes(1, name, strlen(name)) : 1;

	if (error == EMFILE || error == ENFILE || error == ENOMEM)
		look->files->unsure = true;
	look->files->print += mix(print, error);
	refuse(look, name, strerror(error));
}

static void
later(int64_t *time, struct timespec than)
{
	if (nanoseconds(than) > *time)
		*time = nanoseconds(than);
}

/* Sums, so that the order in which a directory is read does not count. */
static void
add_file(struct look *look, int directory, const char *name)
{
	const char *path = name ? name : look->path;
	struct stat file;
	int fd;

	/* Not to wait for the writer of a pipe. */
	fd = openat(directory, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &file) < 0) {
		refuse_error(look, name, errno);
		if (fd >= 0)
			close(fd);
		return;
	}
	close(fd);
	look->count++;
	look->files->print += print_of(path, &file);
	later(&look->changed, file.st_ctim);
	later(&look->written, file.st_ctim);
	if (S_ISREG(file.st_mode))
		return;
	/* libclamav would wait for a pipe, and read a directory for ever. */
	look->files->pipe = S_ISFIFO(file.st_mode) && look->files->why[0] == '\0';
	refuse(look, name, "is no file, but has the name of one");
}

static void
add_directory(struct look *look, DIR *directory)
{
	const struct dirent *entry;
	struct stat self;

	if (fstat(dirfd(directory), &self) == 0)
		later(&look->changed, self.st_mtim);
	while ((entry = readdir(directory)))
		if (clamav_files_is_database(entry->d_name))
			add_file(look, dirfd(directory), entry->d_name);
	if (look->count == 0)
		refuse(look, NULL, "there is no signature file in it");
}

static void
add_path(struct look *look)
{
	struct stat self;
	DIR *directory;

	if (stat(look->path, &self) < 0) {
		refuse_error(look, NULL, errno);
		return;
	}
	if (!S_ISDIR(self.st_mode)) {
		add_file(look, AT_FDCWD, NULL);
		return;
	}
	directory = opendir(look->path);
	if (!directory) {
		refuse_error(look, NULL, errno);
		return;
	}
	add_directory(look, directory);
	closedir(directory);
}

void
clamav_files_look(const char *path, struct clamav_files *files)
{
	struct look look = { .path = path, .files = files };
	struct timespec now;
	int64_t quiet;

	*files = (struct clamav_files){ 0 };
	add_path(&look);
	clock_gettime(CLOCK_REALTIME, &now);
	/* Of the future: the clock was set back, or is another machine's. */
	quiet = nanoseconds(now) - look.changed;
	files->quiet_ms = quiet < 0 ? INT64_MAX : quiet / 1000000;
	quiet = nanoseconds(now) - look.written;
	if (quiet >= 0 && quiet < SAME_STAMP_NS)
		files->print ^= (uint64_t)nanoseconds(now); /* it could change unseen */
}

void
clamav_say_files(const struct clamav_files *files, const char *path, bool chrooted,
                 char *why, size_t why_size)
{
	snprintf(why, why_size,
	         "signature_path: no virus signatures from %.255s: %s; files must be "
	         "there "
	         "whole (run freshclam) and readable for set_user%s",
	         path, files->why,
	         chrooted ? ", inside of chroot_path: bind-mount them there" : "");
}
