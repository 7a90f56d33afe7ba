#include <stdio.h>

int main(void) {
	long a, b;
	return scanf("%ld %ld", &a, &b) != 2 || printf("%ld\n", a + b) < 0;
}
