/* Memory of the kernel's own objects: what a job makes the kernel remember. */

#include "hostile.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

/* Pages of a file that were written to privately, with the file mapped anew
 * when all of it was. */
static int private_pages(int n)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		fail();
	for (long want = 300L * MIB; want > 0; want -= st.st_size) {
		char *p = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
		if (p == MAP_FAILED)
			fail();
		touch(p, st.st_size);
	}
	return n;
}

/* Every epoll instance remembers each descriptor that it watches. */
static int watches(int n)
{
	int events[400], all = 0;
	while (all < 400 && (events[all] = eventfd(0, 0)) >= 0)
		all++;
	for (int e; (e = epoll_create1(0)) >= 0;)
		for (int i = 0; i < all; i++) {
			struct epoll_event ev = { .events = EPOLLIN };
			if (epoll_ctl(e, EPOLL_CTL_ADD, events[i], &ev))
				fail();
		}
	return n;
}

/* Filters that allow everything, as long as the kernel takes them, in many
 * processes. */
static int filters(int n)
{
	static struct sock_filter code[4096];
	for (int i = 0; i < 4096; i++)
		code[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = { 4096, code };
	int full[2];
	char c;
	if (pipe(full))
		fail();
	for (int i = 0; i < 400; i++) {
		pid_t child = fork();
		if (child < 0)
			fail();
		if (child == 0) {
			while (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0)
				;
			close(full[1]);
			sleep_on();
		}
	}
	close(full[1]);
	return n + (int)read(full[0], &c, 1);
}

static int timers(int n)
{
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	for (timer_t t; timer_create(CLOCK_MONOTONIC, &none, &t) == 0;)
		;
	fail();
	return n;
}

static int signals(int n)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	while (sigqueue(getpid(), SIGRTMIN, (union sigval){ 0 }) == 0)
		;
	fail();
	return n;
}

/* Descriptors that are on their way and in no process's table. */
static int in_flight(int n)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(200 * sizeof(int))];
	} u = { .head = { CMSG_LEN(200 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	for (int i = 0; i < 200; i++)
		((int *)CMSG_DATA(&u.head))[i] = 0;
	char c = 0;
	struct iovec one = { &c, 1 };
	struct msghdr msg = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof u };
	for (int p[2]; errno != ETOOMANYREFS && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) == 0;)
		while (sendmsg(p[0], &msg, 0) == 1)
			;
	fail();
	return n;
}

/* The kernel remembers names that it did not find, and forgets them when it
 * must. */
static int names(int n)
{
	char name[64];
	struct stat st;
	for (int i = 0; i < 65000; i++) {
		snprintf(name, sizeof name, "/usr/share/there-is-nothing-of-this-name-%d", i);
		if (stat(name, &st) == 0)
			fail();
	}
	return n;
}

const struct program objects[] = {
	{ "private", private_pages }, { "watches", watches }, { "filters", filters }, { "timers", timers },
	{ "signals", signals }, { "in-flight", in_flight }, { "names", names }, { NULL, NULL },
};
