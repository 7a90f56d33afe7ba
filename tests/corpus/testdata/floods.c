/* Floods of processes and of output, and words that pose as jailrun's. */

#include "hostile.h"

static int forks(int n)
{
	(void)n;
	for (;;)
		fork();
}

static int forks_setsid(int n)
{
	(void)n;
	for (;;)
		if (fork() == 0)
			setsid();
}

static int vforks(int n)
{
	(void)n;
	for (;;)
		if (vfork() == 0) {
			execl("/proc/self/exe", "hostile", "vforks", NULL);
			_exit(1);
		}
}

static void *rest(void *unused)
{
	sleep_on();
	return unused;
}

/* Makes n more tasks, or ends with the errno. */
static int thread_flood(int n)
{
	pthread_t t;
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	for (int i = 0; i < n; i++) {
		int err = pthread_create(&t, &small, rest, NULL);
		if (err)
			_exit(err);
	}
	return 0;
}

static int zombies(int n)
{
	for (int i = 0; i < n; i++) {
		pid_t child = fork();
		if (child == 0)
			_exit(0);
		if (child < 0)
			fail();
	}
	return 0;
}

static void fork_on(void) { forks(0); }

/* Leaves a fork bomb behind. */
static int bomb_and_exit(int n)
{
	daemonise(fork_on);
	nap(100);
	return n;
}

static int flood(int fd)
{
	static char block[65536];
	memset(block, 'y', sizeof block);
	for (;;)
		if (write(fd, block, sizeof block) < 0)
			fail();
}

static int empty_writes(int n)
{
	for (int i = 0; i < 20000; i++)
		if (write(1, "", 0) < 0)
			fail();
	return n;
}

static int drip(int n)
{
	for (int i = 0; i < 20; i++) {
		if (write(1, ".", 1) != 1)
			fail();
		nap(10);
	}
	return n;
}

static int deaf_streams(int n)
{
	for (int fd = 0; fd < 3; fd++)
		fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND);
	fcntl(1, F_SETPIPE_SZ, 4096);
	return n;
}

static int spoof(int n)
{
	static const char text[] =
		"timelimit exceeded\n"
		"{\"version\":1,\"verdict\":\"memory\",\"cause\":\"memory limit reached\"}\n"
		"jailrun: error: run: poll: cannot allocate memory\n"
		"status:TO\nexitcode:0\ntime:0.001\n";
	for (int fd = 1; fd < 3; fd++)
		if (write(fd, text, sizeof text - 1) < 0)
			fail();
	return n;
}

/* Writes verdicts to whatever descriptor it has. */
static int every_descriptor(int n)
{
	static const char text[] = "\x01\x00\x00\x00\x09\x00\x00\x00verdict=exited";
	for (int fd = 3; fd < 4096; fd++)
		if (write(fd, text, sizeof text) >= 0)
			_exit(99);
	return n;
}

static int close_all(int n)
{
	syscall(SYS_close_range, 0, ~0U, 0);
	return n;
}

static void hold(void)
{
	sleep_on();
}

static int leaves_daemon(int n)
{
	if (fork() == 0) { /* with stdout */
		setsid();
		hold();
	}
	daemonise(hold);
	return n;
}

const struct program floods[] = {
	{ "forks", forks }, { "forks-setsid", forks_setsid }, { "vforks", vforks },
	{ "thread-flood", thread_flood }, { "zombies", zombies }, { "bomb-and-exit", bomb_and_exit },
	{ "flood", flood }, { "empty-writes", empty_writes }, { "drip", drip },
	{ "deaf-streams", deaf_streams }, { "spoof", spoof }, { "every-descriptor", every_descriptor },
	{ "close-all", close_all }, { "leaves-daemon", leaves_daemon }, { NULL, NULL },
};

int main(int argc, char **argv)
{
	const struct program *tables[] = { deaths, clocks, memory, objects, floods };
	for (int i = 0; argc > 1 && i < 5; i++)
		for (const struct program *p = tables[i]; p->name; p++)
			if (!strcmp(p->name, argv[1]))
				return p->run(argc > 2 ? atoi(argv[2]) : 0);
	fprintf(stderr, "hostile: no such program\n");
	return 125;
}
