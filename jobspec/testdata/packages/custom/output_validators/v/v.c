#include <stdio.h>

int main(int argc, char **argv) {
	char name[4096];
	long n, x;
	FILE *in = fopen(argv[1], "r"), *say;
	snprintf(name, sizeof name, "%s/judgemessage.txt", argv[3]);
	say = fopen(name, "w");
	if (argc < 4 || !in || !say || fscanf(in, "%ld", &n) != 1)
		return 1;
	if (scanf("%ld", &x) != 1 || x <= 1 || x >= n || n % x) {
		fprintf(say, "no factor\n");
		return 43;
	}
	return 42;
}
