package limits

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// helpers are the programs that the test binary can be. Those that go on for
// ever say "ready" first.
func helpers() map[string]func(args []string) error {
	return map[string]func(args []string) error{
		"idle":   func([]string) error { return forever() },
		"spin":   spinHelper,
		"alloc":  allocHelper,
		"find":   findHelper,
		"runner": runnerHelper,
		"join":   joinHelper,
		"litter": litterHelper,
		"init":   initHelper,
		"burn":   burnHelper,
		"ignore": ignoreHelper,
		"hold":   holdHelper,
	}
}

func forever() error {
	fmt.Println("ready")
	for {
		_ = unix.Pause()
	}
}

// spinHelper burns CPU time in as many threads as it is told.
func spinHelper(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(n)
	for range n - 1 {
		go spin()
	}
	fmt.Println("ready")
	spin()
	return nil
}

// spin burns CPU time for ever.
func spin() {
	for n := uint64(1); n != 0; n += 2 {
	}
}

// allocHelper touches so many MiB and ends.
func allocHelper(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	memory, err := unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	return nil
}

// findHelper looks for a subtree and prints what it found; it may move itself.
func findHelper(args []string) error {
	s, err := FindSubtree(FindOptions{Need: args[1:], Evacuate: args[0] == "evacuate"})
	found := foundSubtree{}
	if err != nil {
		found.Err = err.Error()
	} else {
		found.Path, found.Controllers, found.Evacuated = s.Path(), s.Controllers(), s.Evacuated()
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

type foundSubtree struct {
	Path, Err   string
	Controllers []string
	Evacuated   []int
}

// runnerHelper makes a group with a job in it, names the group, and idles: a
// runner that can be killed.
func runnerHelper([]string) error {
	s, err := FindSubtree(FindOptions{Evacuate: true})
	if err != nil {
		return err
	}
	g, err := s.NewGroup("orphan", GroupLimits{})
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperEnv+"=idle")
	if err := into(cmd, g.JobFD()).Start(); err != nil {
		return err
	}
	fmt.Println(g.Path())
	for {
		_ = unix.Pause()
	}
}

// joinHelper waits for a byte and puts itself into a group through descriptor
// 3, as a job under foreign ids does.
func joinHelper([]string) error {
	if _, err := bufio.NewReader(os.Stdin).ReadByte(); err != nil {
		return err
	}
	if _, err := os.NewFile(3, "cgroup.procs").WriteString("0"); err != nil {
		return err
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	fmt.Print(string(text))
	return err
}

// litterHelper makes groups below its own until that is refused.
func litterHelper(args []string) error {
	for i := range 10 {
		if err := os.Mkdir(args[0]+"/litter"+strconv.Itoa(i), 0o755); err != nil {
			fmt.Println(i, err)
			return nil
		}
	}
	fmt.Println("10 made")
	return nil
}

// firstLine starts a helper and returns the first line it prints.
func firstLine(cmd *exec.Cmd) (string, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(line), err
}

// initHelper is pid 1 of a pid namespace: it mounts /proc, waits for a byte,
// runs a job (a program or a helper), reaps until nobody is left, prints the CPU time of all it has
// reaped, and stays until its input ends.
func initHelper(args []string) error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	fmt.Println("ready")
	input := bufio.NewReader(os.Stdin)
	if _, err := input.ReadByte(); err != nil {
		return err
	}
	job := exec.Command(args[0], args[1:]...)
	if helpers()[args[0]] != nil {
		job = exec.Command("/proc/self/exe", args[1:]...)
		job.Env = append(os.Environ(), helperEnv+"="+args[0])
	}
	job.Stderr = os.Stderr
	if err := job.Start(); err != nil {
		return err
	}
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); err == unix.ECHILD {
			break
		}
	}
	var reaped unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &reaped); err != nil {
		return err
	}
	fmt.Println(reaped.Utime.Nano() + reaped.Stime.Nano())
	_, err := input.ReadByte()
	if err == io.EOF {
		err = nil
	}
	return err
}

// burnHelper burns so many milliseconds of CPU time in so many threads, and
// adds what it has burnt in nanoseconds to a file, if one is named.
func burnHelper(args []string) error {
	var numbers [2]int
	for i := range numbers {
		n, err := strconv.Atoi(args[i])
		if err != nil {
			return err
		}
		numbers[i] = n
	}
	for range numbers[1] - 1 {
		go spin()
	}
	for {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
			return err
		}
		if ts.Nano() >= int64(numbers[0])*1e6 {
			return appendNumber(args[2:], ts.Nano())
		}
	}
}

func appendNumber(file []string, n int64) error {
	if len(file) == 0 {
		return nil
	}
	f, err := os.OpenFile(file[0], os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, n)
	return err
}

// ignoreHelper ignores SIGCHLD and has so many children, one after the other,
// each burn so many milliseconds and add them to a file.
func ignoreHelper(args []string) error {
	signal.Ignore(unix.SIGCHLD)
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for range n {
		cmd := exec.Command("/proc/self/exe", args[1], "1", args[2])
		cmd.Env = append(os.Environ(), helperEnv+"=burn")
		if err := cmd.Start(); err != nil {
			return err
		}
		// Waits for the end of all children, and gets none.
		if _, err := unix.Wait4(-1, nil, 0, nil); err != unix.ECHILD {
			return fmt.Errorf("wait4: %w, want ECHILD", err)
		}
	}
	return nil
}

// holdHelper holds so many MiB of shared memory until it is killed.
func holdHelper(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	memory, err := unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		return err
	}
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	err = forever()
	runtime.KeepAlive(memory)
	return err
}
