import java.util.Scanner;

public class Main {
	public static void main(String[] args) {
		Scanner in = new Scanner(System.in);
		int n = in.nextInt();
		long best = Long.MIN_VALUE, sum = 0;
		for (int i = 0; i < n; i++) {
			long x = in.nextLong();
			best = Math.max(best, x);
			sum += x;
		}
		System.out.println(best + " " + sum);
	}
}
