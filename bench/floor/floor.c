/*
 * The floor: the least that the calls of a launch can cost. plan.h is made of
 * the plan itself (Program.WriteC), so this program makes exactly the calls
 * that `jailrun plan` prints; the rest, what a runner and its pid 1 do besides,
 * stands here. Compiled by the benchmark: gcc -O2 -static -I DIR-OF-plan.h
 *
 * It is no sandbox runner: it has no limits, no verdict and no error messages.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct plan_slot {
	const char *name;
	int number;
};

enum { STATUS, CTL, SIGNALS, GATE, MAIN, INIT_GROUP, JOB_GROUP, SLOTS = 32 };

/* of prog.ListenerFlags: the job's filter allows no other sendmsg before execve */
enum { LISTENER_FLAGS = MSG_NOSIGNAL | MSG_PROXY | MSG_RST };

static long slot[SLOTS];
static struct timespec stamps[16];
static unsigned long keep_low, keep_high, space_top;

static void die(const char *what, int index, int error)
{
	dprintf(2, "floor: %s %d: %s\n", what, index, strerror(error));
	_exit(125);
}

static void fail(int index, int error)
{
	int message[4] = {1, 0, index, error};
	if (write(slot[STATUS], message, sizeof message) < 0)
		_exit(2);
	_exit(1);
}

static long floor_call(int index, long want, int e1, int e2, int e3, long nr, long a, long b, long c, long d, long e, long f)
{
	long r = syscall(nr, a, b, c, d, e, f);
	if (r == -1) {
		if (errno != e1 && errno != e2 && errno != e3)
			fail(index, errno);
	} else if (want >= 0 && r != want) {
		fail(index, EIO);
	}
	return r;
}

/* One of several candidates for execve, of which not the last. */
static void floor_try(int index, long want, int e1, int e2, int e3, long nr, long a, long b, long c, long d, long e, long f)
	__attribute__((unused));
static void floor_try(int index, long want, int e1, int e2, int e3, long nr, long a, long b, long c, long d, long e, long f)
{
	(void)want, (void)e1, (void)e2, (void)e3;
	syscall(nr, a, b, c, d, e, f);
	if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
		fail(index, errno);
}

static void floor_stamp(unsigned long i)
{
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &stamps[i]);
}

static void floor_keep_only(unsigned long mask)
{
	long low = 0, next;
	do {
		next = 1L << 31;
		for (int i = 0; i < SLOTS; i++)
			if (mask >> i & 1 && slot[i] >= low && slot[i] < next)
				next = slot[i];
		if (next > low && syscall(SYS_close_range, low, next - 1, 0))
			fail(-1, errno);
		low = next + 1;
	} while (next != 1L << 31);
}

static void floor_send(int kind, unsigned long mask)
{
	int count = 0, fds[SLOTS];
	struct iovec text = {&kind, sizeof kind};
	union {
		char space[CMSG_SPACE(sizeof fds)];
		struct cmsghdr align;
	} control;
	struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1};
	for (int i = 0; i < SLOTS; i++)
		if (mask >> i & 1)
			fds[count++] = slot[i];
	if (count) {
		struct cmsghdr *head = &control.align;
		head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(count * sizeof *fds);
		memcpy(CMSG_DATA(head), fds, count * sizeof *fds);
		message.msg_control = &control, message.msg_controllen = CMSG_SPACE(count * sizeof *fds);
	}
	if (sendmsg(slot[CTL], &message, LISTENER_FLAGS) < 0)
		fail(-1, errno);
}

static void floor_send_ready(unsigned long mask)
{
	floor_send(2, mask);
}

static __attribute__((unused)) void floor_send_listener(unsigned long mask)
{
	floor_send(4, mask);
}

/* Everything but the program with its heap, which holds errno, and the stack. */
static void floor_scrub(void)
{
	unsigned long here = (unsigned long)__builtin_frame_address(0) & ~4095UL;
	munmap(0, keep_low);
	munmap((void *)keep_high, here - 8192 - keep_high);
	munmap((void *)(here + 8192), space_top - (here + 8192));
}

static long floor_fork(void)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	long pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid < 0)
		fail(-1, errno);
	return pid;
}

static void floor_reap(void)
{
	static struct {
		unsigned kind, status;
		long ended;
		struct rusage main, all;
	} report;
	struct pollfd fds[2] = {{slot[CTL], POLLIN, 0}, {slot[SIGNALS], POLLIN, 0}};
	char info[128], order[8];
	for (int ended = 0; !ended;) {
		if (syscall(SYS_ppoll, fds, 2, 0, 0, 0) < 0 && errno != EINTR)
			_exit(1);
		if (fds[0].revents && recv(slot[CTL], order, 8, MSG_DONTWAIT) != 8)
			_exit(1); /* the runner is gone */
		if (!fds[1].revents)
			continue;
		if (read(slot[SIGNALS], info, sizeof info) < 0)
			_exit(1);
		for (;;) {
			int status;
			struct rusage usage;
			long pid = syscall(SYS_wait4, -1, &status, WNOHANG | __WALL, &usage);
			if (pid <= 0)
				break;
			if (pid == slot[MAIN]) {
				struct timespec now;
				syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
				report.ended = now.tv_sec * 1000000000L + now.tv_nsec;
				report.status = status, report.main = usage, ended = 1;
			}
		}
	}
	kill(-1, SIGKILL);
	while (syscall(SYS_wait4, -1, &report.kind, __WALL, &report.all) > 0)
		;
	getrusage(RUSAGE_CHILDREN, &report.all);
	report.kind = 3;
	send(slot[CTL], &report, sizeof report, MSG_NOSIGNAL);
	_exit(0);
}

#include "plan.h"

static void bind_slot(const char *name, int fd)
{
	for (size_t i = 0; i < sizeof plan_slots / sizeof *plan_slots; i++)
		if (!strcmp(plan_slots[i].name, name))
			slot[plan_slots[i].number] = fd;
}

/* Passes on what there is, and returns 0 at the end of file. */
static int copy(int from, int to)
{
	char data[65536];
	ssize_t n = read(from, data, sizeof data);
	if (n > 0 && write(to, data, n) != n)
		die("write", to, errno);
	return n > 0;
}

static int launch(void)
{
	extern char __executable_start[];
	int status[2], ctl[2], in[2], out[2], err[2], pidfd = -1, code = 125, failure[4];
	struct clone_args args = {.flags = PLAN_FLAGS | CLONE_PIDFD, .pidfd = (unsigned long)&pidfd};
	if (pipe2(status, O_CLOEXEC) || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl))
		die("descriptors", 0, errno);
	for (int i = 0; i < SLOTS; i++)
		slot[i] = -1;
	slot[STATUS] = status[1], slot[CTL] = ctl[1];
	bind_slot("stdin", in[0]), bind_slot("stdout", out[1]), bind_slot("stderr", err[1]);
	keep_low = (unsigned long)__executable_start & ~4095UL;
	keep_high = ((unsigned long)sbrk(0) + 4095) & ~4095UL;
	space_top = (getauxval(AT_EXECFN) + 4096 + 4095) & ~4095UL; /* nothing of ours lies above */

	/* As the Go runtime does around a fork; init reads SIGCHLD from a descriptor. */
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	long pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid < 0)
		die("clone3", 0, errno);
	if (pid == 0) {
		plan_init();
		_exit(1);
	}
	sigprocmask(SIG_SETMASK, &before, 0);
	close(status[1]), close(ctl[1]), close(in[0]), close(in[1]), close(out[1]), close(err[1]);
	if (read(status[0], failure, sizeof failure) > 0)
		die("step", failure[2], failure[3]);
	struct pollfd fds[3] = {{ctl[0], POLLIN, 0}, {out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
	while (fds[0].fd >= 0 || fds[1].fd >= 0 || fds[2].fd >= 0) {
		if (poll(fds, 3, -1) < 0)
			die("poll", 0, errno);
		if (fds[1].revents && !copy(out[0], 1))
			fds[1].fd = -1;
		if (fds[2].revents && !copy(err[0], 2))
			fds[2].fd = -1;
		if (fds[0].revents) {
			int message[128], space[32];
			struct iovec text = {message, sizeof message};
			struct msghdr m = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
			ssize_t n = recvmsg(ctl[0], &m, MSG_CMSG_CLOEXEC);
			if (n <= 4 && n != 4)
				fds[0].fd = -1;
			else if (message[0] == 3)
				code = WIFEXITED(message[1]) ? WEXITSTATUS(message[1]) : 128 + WTERMSIG(message[1]), fds[0].fd = -1;
		}
	}
	siginfo_t info;
	if (waitid(P_PIDFD, pidfd, &info, WEXITED | __WALL))
		die("waitid", 0, errno);
	close(pidfd), close(status[0]), close(ctl[0]), close(out[0]), close(err[0]);
	return code;
}

/* With a number: so many launches, one after the other, for their rate. */
int main(int argc, char **argv)
{
	int code = 0;
	for (long n = argc > 1 ? atol(argv[1]) : 1; n > 0; n--)
		code = launch();
	return code;
}
