#include <stdio.h>
int main(void) {
	int n, x, best = -2000000000;
	unsigned sum = 0;
	scanf("%d", &n);
	while (n--) {
		scanf("%d", &x);
		if (x > best) best = x;
		sum += x;
	}
	printf("%d %d\n", best, (int)sum);
}
