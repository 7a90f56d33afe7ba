/* Ways to die, and to look as if one had died another way. */

#include "hostile.h"

static int code(int n) { return n; }

static int by_signal(int n)
{
	signal(n, SIG_DFL);
	raise(n);
	sleep_on();
	return 0;
}

static int null(int n)
{
	(void)n;
	*(volatile int *)8 = 1;
	return 0;
}

static int divide(int n)
{
	volatile int zero = 0;
	return n / zero;
}

static int recurse(int n)
{
	volatile char frame[4096];
	frame[0] = (char)n;
	return recurse(n + 1) + frame[0];
}

static int illegal(int n)
{
	(void)n;
	__builtin_trap();
}

/* A page of a file that has become shorter. */
static int beyond(int n)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0)
		fd = open("/tmp/short", O_CREAT | O_RDWR, 0600);
	if (fd < 0 || ftruncate(fd, 4096))
		fail();
	volatile char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED || ftruncate(fd, 0))
		fail();
	p[n] = 1;
	return 0;
}

static void *leave(void *code)
{
	syscall(SYS_exit_group, (int)(intptr_t)code);
	return NULL;
}

/* A thread ends the process. */
static int thread_exits(int n)
{
	pthread_t t;
	if (pthread_create(&t, NULL, leave, (void *)(intptr_t)n))
		fail();
	pthread_join(t, NULL);
	sleep_on();
	return 0;
}

/* The main thread ends alone; another goes on and ends the process. */
static int main_thread_exits(int n)
{
	pthread_t t;
	if (pthread_create(&t, NULL, leave, (void *)(intptr_t)n))
		fail();
	pthread_exit(NULL);
}

static int child_kills(int n)
{
	pid_t parent = getpid();
	if (fork() == 0) {
		kill(parent, n);
		_exit(0);
	}
	sleep_on();
	return 0;
}

static int kill_init(int n)
{
	for (int s = 1; s < 32; s++)
		kill(1, s);
	return n;
}

static int kill_all(int n)
{
	for (int i = 0; i < 4; i++)
		if (fork() == 0)
			sleep_on();
	kill(-1, SIGKILL); /* spares the sender */
	while (wait(NULL) > 0)
		;
	return n;
}

static int again(int n)
{
	char number[12];
	if (n == 0)
		return 0;
	snprintf(number, sizeof number, "%d", n - 1);
	execl("/proc/self/exe", "hostile", "again", number, NULL);
	fail();
	return 0;
}

/* Takes the names of jailrun's processes and dies as its limits kill. */
static int pose(int n)
{
	prctl(PR_SET_NAME, "jailrun-init");
	by_signal(n);
	return 0;
}

const struct program deaths[] = {
	{ "exit", code }, { "signal", by_signal }, { "null", null }, { "divide", divide },
	{ "recurse", recurse }, { "illegal", illegal }, { "beyond", beyond },
	{ "thread-exits", thread_exits }, { "main-thread-exits", main_thread_exits },
	{ "child-kills", child_kills }, { "kill-init", kill_init }, { "kill-all", kill_all },
	{ "again", again }, { "pose", pose }, { NULL, NULL },
};
