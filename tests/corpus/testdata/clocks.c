/* Programs that use up a clock, and some that only seem to. */

#include "hostile.h"

static int spinner(int n)
{
	(void)n;
	spin();
	return 0;
}

static void *spin_thread(void *unused)
{
	spin();
	return unused;
}

static int threads(int n)
{
	pthread_t t;
	while (n-- > 1)
		pthread_create(&t, NULL, spin_thread, NULL);
	spin();
	return 0;
}

static int daemons(int n)
{
	while (n-- > 0)
		daemonise(spin);
	sleep_on();
	return 0;
}

/* Leaves its work to others and exits when they have done some. */
static int daemons_and_exit(int n)
{
	for (int i = 0; i < 2; i++)
		daemonise(spin);
	nap(n);
	return 0;
}

static int burn_ms;

static void burn_and_end(void)
{
	while (cpu_seconds() < burn_ms / 1000.0)
		;
	_exit(0);
}

/* Four daemons burn n ms each, and a pipe tells when the last has ended. */
static int daemons_burn(int n)
{
	int end[2], i;
	char c;
	burn_ms = n;
	if (pipe(end))
		fail();
	for (i = 0; i < 4; i++)
		daemonise(burn_and_end);
	close(end[1]);
	return (int)read(end[0], &c, 1);
}

/* Burns in children that nobody waits for. */
static int unwaited(int n)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		if (fork() == 0) {
			while (cpu_seconds() < n / 1000.0)
				;
			_exit(0);
		}
		nap(n);
	}
}

static int catches_xcpu(int n)
{
	(void)n;
	signal(SIGXCPU, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGPROF, SIG_IGN);
	spin();
	return 0;
}

static int burn(int ms)
{
	while (cpu_seconds() < ms / 1000.0)
		;
	return 0;
}

static int sleeper(int n)
{
	(void)n;
	sleep_on();
	return 0;
}

static int stop(int n)
{
	kill(n ? 0 : getpid(), SIGSTOP);
	sleep_on();
	return 0;
}

static int deadlock(int n)
{
	int p[2];
	char c;
	if (pipe(p))
		fail();
	return (int)read(p[0], &c, 1) + n;
}

static int vfork_pauses(int n)
{
	(void)n;
	if (vfork() == 0)
		sleep_on();
	return 0;
}

static int deaf(int n)
{
	(void)n;
	for (int s = 1; s < 65; s++)
		signal(s, SIG_IGN);
	sleep_on();
	return 0;
}

static void leave(int s) { _exit(s == SIGTERM ? 0 : 1); }

static int polite(int n)
{
	(void)n;
	signal(SIGTERM, leave);
	sleep_on();
	return 0;
}

static void on_cont(int s) { (void)s; }

/* Goes on whenever it is stopped: two processes continue each other. */
static int resist(int n)
{
	(void)n;
	signal(SIGCONT, on_cont);
	for (int i = 0; i < 3; i++)
		if (fork() == 0)
			for (;;)
				kill(-1, SIGCONT);
	for (;;)
		kill(-1, SIGCONT);
}

const struct program clocks[] = {
	{ "spin", spinner }, { "threads", threads }, { "daemons", daemons },
	{ "daemons-burn", daemons_burn },
	{ "daemons-and-exit", daemons_and_exit }, { "unwaited", unwaited },
	{ "catches-xcpu", catches_xcpu }, { "burn", burn }, { "sleep", sleeper }, { "stop", stop },
	{ "deadlock", deadlock }, { "vfork-pauses", vfork_pauses }, { "deaf", deaf },
	{ "polite", polite }, { "resist", resist }, { NULL, NULL },
};
