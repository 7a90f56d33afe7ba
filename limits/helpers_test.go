package limits

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
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
		"daemon": daemonHelper,
		"find":   findHelper,
		"runner": runnerHelper,
		"join":   joinHelper,
		"litter": litterHelper,
	}
}

func forever() error {
	fmt.Println("ready")
	select {}
}

// spinHelper burns CPU time in as many threads as it is told.
func spinHelper(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(n)
	for range n - 1 {
		go func() {
			for {
			}
		}()
	}
	fmt.Println("ready")
	for {
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

// daemonHelper leaves a child behind in a session of its own, which burns the
// CPU time it is told, and ends at once.
func daemonHelper(args []string) error {
	cmd := exec.Command("/bin/sh", "-c", `i=0; while [ $i -lt `+args[0]+` ]; do i=$((i+1)); done`)
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	return cmd.Start()
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
	select {}
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
