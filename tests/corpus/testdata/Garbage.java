import java.util.ArrayList;

/** Makes 500 MB of garbage, with 8 MB of it alive at a time, and says what it takes the machine for. */
public class Garbage {
	public static void main(String[] args) {
		var live = new ArrayList<byte[]>();
		for (int i = 0; i < 5000; i++) {
			live.add(new byte[100_000]);
			if (live.size() > 80) {
				live.clear();
			}
		}
		System.out.println("heap " + Runtime.getRuntime().maxMemory() + " cpus " + Runtime.getRuntime().availableProcessors());
	}
}
