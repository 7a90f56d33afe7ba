#include <stdio.h>
int main(void) {
	long n, x, best, sum = 0;
	scanf("%ld", &n);
	for (long i = 0; i < n; i++) {
		scanf("%ld", &x);
		if (i == 0 || x > best) best = x;
		sum += x;
	}
	printf("%ld %ld\n", best, sum);
}
