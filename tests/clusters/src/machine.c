/*
 * What a process sees of its machine, as machine.rs wishes: how far the clock is off, and how many calls that bring data
 * to the disk fail from now on. Loaded in front of the C library (LD_PRELOAD); GUNDB_MACHINE names the file of the wishes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct wishes {
	int64_t seconds_ahead;
	int64_t failing_syncs;
};

static struct wishes none;
static struct wishes *wishes = &none;

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("GUNDB_MACHINE");
	int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	real_fsync = dlsym(RTLD_NEXT, "fsync");
	real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	if (file >= 0) {
		void *mapped = mmap(NULL, sizeof *wishes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

		if (mapped != MAP_FAILED)
			wishes = mapped;
		close(file);
	}
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	/* Others may ask before this library has begun. */
	int status = real_clock_gettime ? real_clock_gettime(clock, now) : -1;

	if (!real_clock_gettime) {
		real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
		status = real_clock_gettime(clock, now);
	}
	if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += __atomic_load_n(&wishes->seconds_ahead, __ATOMIC_RELAXED);
	return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;
	int status = clock_gettime(CLOCK_REALTIME, &precise);

	(void) zone;
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return status;
}

time_t time(time_t *now)
{
	struct timespec precise;

	clock_gettime(CLOCK_REALTIME, &precise);
	if (now)
		*now = precise.tv_sec;
	return precise.tv_sec;
}

/* Whether this call fails. */
static int fails(void)
{
	if (__atomic_load_n(&wishes->failing_syncs, __ATOMIC_RELAXED) <= 0 ||
		__atomic_fetch_sub(&wishes->failing_syncs, 1, __ATOMIC_RELAXED) <= 0)
		return 0;
	errno = EIO;
	return 1;
}

int fsync(int file)
{
	return fails() ? -1 : real_fsync(file);
}

int fdatasync(int file)
{
	return fails() ? -1 : real_fdatasync(file);
}
