package corpus

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"time"
)

// The names of the two binaries of programs, in /programs.
const (
	cProgram  = "hostile"
	goProgram = "corpus-go"
)

func background() context.Context { return context.Background() }

// c is a program written in C, with its number; g is one in Go.
func c(name string, number ...int) []string { return program(cProgram, name, number) }

func g(name string, number ...int) []string { return program(goProgram, name, number) }

func program(binary, name string, number []int) []string {
	argv := []string{"/programs/" + binary, name}
	for _, n := range number {
		argv = append(argv, strconv.Itoa(n))
	}
	return argv
}

func py(text string) []string { return []string{"python3", "-c", text} }

func sh(text string) []string { return []string{"sh", "-c", text} }

// goPrograms is what this test binary does as a job.
func goPrograms(args []string) int {
	switch args[0] {
	case "panic":
		panic("of its own")
	case "view":
		goView()
	case "sleep":
		for {
			time.Sleep(time.Hour)
		}
	case "exit":
		go os.Exit(3)
		select {}
	case "spin":
		for range runtime.GOMAXPROCS(0) - 1 {
			go spinGo()
		}
		spinGo()
	case "heap":
		var all [][]byte
		for range 300 {
			block := make([]byte, 1<<20)
			for i := 0; i < len(block); i += 4096 {
				block[i] = 1
			}
			all = append(all, block)
		}
		return len(all) - 300
	case "garbage": // 256 MiB in all, little of it at once
		for range 256 {
			block := make([]byte, 1<<20)
			block[len(block)-1] = 1
		}
	}
	return 0
}

func spinGo() {
	for n := uint64(1); n != 0; n += 2 {
	}
}
