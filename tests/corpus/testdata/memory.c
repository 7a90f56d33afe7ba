/* Kinds of memory. Each wants 300 MiB, or as much of its kind as it can get. */

#include "hostile.h"

#define WANT (300L * MIB)

static char *map(size_t n, int flags, int fd)
{
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (p == MAP_FAILED)
		fail();
	return p;
}

static int anonymous(int n)
{
	touch(map(WANT, MAP_PRIVATE | MAP_ANONYMOUS, -1), WANT);
	return n;
}

static int shared(int n)
{
	touch(map(WANT, MAP_SHARED | MAP_ANONYMOUS, -1), WANT);
	return n;
}

static int locked(int n)
{
	char *p = map(WANT, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	mlock(p, WANT);
	touch(p, WANT);
	return n;
}

/* Forks copies of a small private heap and writes to each. */
static int copies(int n)
{
	char *p = map(20 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	touch(p, 20 * MIB);
	for (int i = 0; i < 14; i++)
		if (fork() == 0) {
			for (size_t j = 0; j < 20 * MIB; j += 4096)
				((volatile char *)p)[j] = (char)i;
			sleep_on();
		}
	sleep_on();
	return n;
}

static int child_of_a_good_parent(int n)
{
	pid_t child = fork();
	if (child == 0)
		_exit(anonymous(0));
	waitpid(child, NULL, 0);
	return n;
}

static void eat(void)
{
	anonymous(0);
	sleep_on();
}

static int daemon_eats(int n)
{
	daemonise(eat);
	sleep_on();
	return n;
}

static void fill(int fd)
{
	static char block[MIB];
	memset(block, 1, sizeof block);
	for (long i = 0; i < WANT;) {
		ssize_t n = write(fd, block, MIB);
		if (n < 0)
			fail();
		i += n;
	}
}

static int file(int n)
{
	int fd = open("/tmp/f", O_CREAT | O_RDWR, 0600);
	if (fd < 0)
		fail();
	fill(fd);
	return n;
}

static int dev_shm(int n)
{
	int fd = open("/dev/shm/f", O_CREAT | O_RDWR, 0600);
	if (fd < 0)
		fail();
	fill(fd);
	return n;
}

static int unlinked(int n)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0) {
		fd = open("/tmp/f", O_CREAT | O_RDWR, 0600);
		unlink("/tmp/f");
	}
	if (fd < 0)
		fail();
	fill(fd);
	return n;
}

static int memfd(int n)
{
	int fd = (int)syscall(SYS_memfd_create, "f", 0);
	if (fd < 0)
		fail();
	fill(fd);
	return n;
}

/* A SysV segment that is left behind, attached by nobody. */
static int sysv(int n)
{
	for (int i = 0; i < 30; i++) {
		int id = shmget(IPC_PRIVATE, 10 * MIB, 0600);
		char *p = id < 0 ? (char *)-1 : shmat(id, NULL, 0);
		if (p == (char *)-1)
			fail();
		touch(p, 10 * MIB);
		shmdt(p);
	}
	sleep_on();
	return n;
}

/* In the kernel: what no process has mapped. Several processes, because one
 * has not descriptors enough. */
static int each(int n, void (*fill_one)(void))
{
	for (int i = 0; i < 6; i++)
		if (fork() == 0) {
			fill_one();
			sleep_on();
		}
	sleep_on();
	return n;
}

static void fill_pipes(void)
{
	static char block[65536];
	for (int p[2]; pipe2(p, O_NONBLOCK) == 0;)
		while (write(p[1], block, sizeof block) > 0)
			;
}

static int pipes(int n) { return each(n, fill_pipes); }

static void fill_sockets(void)
{
	static char block[8192];
	for (int p[2]; socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) == 0;)
		for (int i = 0; i < 2; i++)
			while (write(p[i], block, sizeof block) > 0)
				;
}

static int sockets(int n) { return each(n, fill_sockets); }

/* Reads of untouched memory cost a page table for every 2 MiB. */
static int page_tables(int n)
{
	size_t size = 1UL << 38;
	char *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		fail();
	madvise(p, size, MADV_NOHUGEPAGE);
	int sum = n;
	for (size_t i = 0; i < size; i += 2 * MIB)
		sum += ((volatile char *)p)[i];
	return sum;
}

static int inodes(int n)
{
	char name[32];
	for (int i = 0; i < 1000000; i++) {
		snprintf(name, sizeof name, "/tmp/%d", i);
		int fd = open(name, O_CREAT | O_WRONLY, 0600);
		if (fd < 0)
			fail();
		close(fd);
	}
	return n;
}

static void *use_stack(void *unused)
{
	volatile char stack[7 * MIB];
	touch((char *)stack, sizeof stack);
	sleep_on();
	return unused;
}

static int stacks(int n)
{
	pthread_t t;
	for (int i = 0; i < 40; i++)
		if (pthread_create(&t, NULL, use_stack, NULL))
			fail();
	sleep_on();
	return n;
}

/* Its name is what a reader of the kernel's log might take for another's. */
static int spoofer(int n)
{
	prctl(PR_SET_NAME, "x,pid=1,uid=0\n");
	return anonymous(n);
}

/* Takes and gives back: never much at once. */
static int modest(int n)
{
	for (int i = 0; i < 6; i++) {
		char *p = map(20 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		touch(p, 20 * MIB);
		munmap(p, 20 * MIB);
	}
	return n;
}

/* Eight processes share 20 MiB: 160 MiB of resident sets, 20 of memory. */
static int sharing(int n)
{
	char *p = map(20 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int gate[2];
	touch(p, 20 * MIB);
	if (pipe(gate))
		fail();
	for (int i = 0; i < 8; i++)
		if (fork() == 0) {
			char c;
			close(gate[1]);
			int sum = 0;
			for (size_t j = 0; j < 20 * MIB; j += 4096)
				sum += ((volatile char *)p)[j];
			_exit((int)read(gate[0], &c, 1) + 0 * sum);
		}
	nap(200);
	close(gate[1]);
	while (wait(NULL) > 0)
		;
	return n;
}

const struct program memory[] = {
	{ "anonymous", anonymous }, { "shared", shared }, { "locked", locked }, { "copies", copies },
	{ "child-of-a-good-parent", child_of_a_good_parent }, { "daemon-eats", daemon_eats },
	{ "file", file }, { "dev-shm", dev_shm }, { "unlinked", unlinked }, { "memfd", memfd }, { "sysv", sysv },
	{ "pipes", pipes }, { "sockets", sockets }, { "page-tables", page_tables }, { "inodes", inodes },
	{ "stacks", stacks }, { "spoofer", spoofer }, { "modest", modest }, { "sharing", sharing }, { NULL, NULL },
};
