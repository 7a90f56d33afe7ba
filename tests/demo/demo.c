/* The untrusted programs of `make demo`, each a word on the command line. */

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Counts the processes in /proc, and prints them if asked to. */
static int processes(int print)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int count = 0;
	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		char path[300], name[64] = "?\n";
		FILE *file;
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		count++;
		if (!print)
			continue;
		snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
		file = fopen(path, "r");
		if (file) {
			if (!fgets(name, sizeof name, file))
				strcpy(name, "?\n");
			fclose(file);
		}
		printf("process %s: %s", entry->d_name, name);
	}
	closedir(dir);
	return count;
}

static int friendly(void)
{
	char host[65] = "";
	gethostname(host, sizeof host - 1);
	printf("uid %d, host name %s, pid %d, home %s\n", (int)getuid(), host, (int)getpid(), getenv("HOME"));
	processes(1);
	return 0;
}

static void spin(void)
{
	volatile unsigned long n = 0;
	for (;;)
		n++;
}

static int hog(void)
{
	for (int megabytes = 1; megabytes <= 200; megabytes++) {
		char *block = malloc(1 << 20);
		if (!block) {
			printf("no more memory after %d MB\n", megabytes - 1);
			return 1;
		}
		memset(block, 1, 1 << 20);
		if (megabytes % 25 == 0) {
			printf("%d MB in use\n", megabytes);
			fflush(stdout);
		}
	}
	puts("had all 200 MB");
	return 0;
}

/* Every process forks as often as it can. The first one watches. */
static int forkbomb(void)
{
	int most = 0, refused = 0;
	signal(SIGCHLD, SIG_IGN);
	for (double end = now() + 1; now() < end;) {
		pid_t pid = fork();
		int count;
		if (pid == 0)
			for (;;)
				if (fork() < 0)
					usleep(1000);
		if (pid < 0 && errno == EAGAIN)
			refused++;
		count = processes(0) - 1; /* without pid 1, which is not ours */
		if (count > most)
			most = count;
	}
	printf("at most %d processes at once; fork was refused: %s\n", most, refused ? "yes" : "no");
	return refused == 0;
}

static int flood(void)
{
	for (unsigned long line = 1;; line++)
		if (printf("line %lu of a flood that does not end by itself\n", line) < 0)
			return 1;
}

/* Succeeds if every directory is out of reach, and says what it saw else. */
static int peek(int count, char **names)
{
	int seen = 0;
	for (int i = 0; i < count; i++) {
		DIR *dir = opendir(names[i]);
		struct dirent *entry;
		int entries = 0;
		if (!dir) {
			printf("%s: %s\n", names[i], strerror(errno));
			continue;
		}
		while ((entry = readdir(dir)))
			entries++;
		closedir(dir);
		printf("%s: %d names\n", names[i], entries);
		seen++;
	}
	return seen > 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "friendly"))
		return friendly();
	if (!strcmp(what, "spin"))
		spin();
	if (!strcmp(what, "hog"))
		return hog();
	if (!strcmp(what, "forkbomb"))
		return forkbomb();
	if (!strcmp(what, "sleep")) {
		sleep(60);
		puts("slept for a minute");
		return 0;
	}
	if (!strcmp(what, "flood"))
		return flood();
	if (!strcmp(what, "peek"))
		return peek(argc - 2, argv + 2);
	fprintf(stderr, "usage: demo friendly|spin|hog|forkbomb|sleep|flood|peek DIR...\n");
	return 2;
}
