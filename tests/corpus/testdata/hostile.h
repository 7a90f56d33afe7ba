/* The programs of the corpus that are written in C. Each is a word on the
 * command line; what becomes of it stands in the table of the corpus. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct program {
	const char *name;
	int (*run)(int arg);
};

extern const struct program deaths[], clocks[], memory[], objects[], floods[];

#define MIB (1 << 20)

/* fail ends a program whose trick the system refused, with the errno for a
 * code; no program of the corpus ends so where its verdict is another. */
static inline void fail(void) { _exit(errno ? errno : 255); }

static inline void touch(char *p, size_t n)
{
	for (size_t i = 0; i < n; i += 4096)
		((volatile char *)p)[i] = 1;
}

static inline void nap(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
	nanosleep(&t, NULL);
}

static inline void sleep_on(void)
{
	for (;;)
		pause();
}

/* spin burns CPU time for ever. */
static inline void spin(void)
{
	for (volatile unsigned long n = 0;; n++)
		;
}

static inline double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* daemonise runs a program as a child of pid 1, in a session of its own,
 * without any stream. */
static inline void daemonise(void (*run)(void))
{
	pid_t child = fork();
	if (child < 0)
		fail();
	if (child == 0) {
		setsid();
		if (fork() == 0) {
			close(0), close(1), close(2);
			run();
		}
		_exit(0);
	}
	waitpid(child, NULL, 0);
}
