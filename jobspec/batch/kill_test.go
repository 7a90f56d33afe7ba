package batch

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/journal"
	"github.com/jailrun/jailrun/jobspec/schedule"
)

const victimJobs = 60

// victim is a process of its own that runs a batch, to be killed.
func victim(dir string) int {
	load := jobspec.Options{FS: os.DirFS(dir), Host: here(dir)}
	b, err := jobspec.Load("jobs.yaml", load)
	if err != nil {
		return 1
	}
	_, err = Run(context.Background(), Options{
		Batch: b, Load: load, Budget: schedule.Budget{Slots: 2}, State: filepath.Join(dir, "state"),
		Journal: filepath.Join(dir, "journal"), Resume: true,
		Result: func(line []byte) { fmt.Printf("%s\n", line) },
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// ended returns the jobs that a journal has results of, each record by itself.
func ended(t *testing.T, path string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := journal.Read(path, func([]byte) error { return nil }, func(line []byte) error {
		var r struct {
			Batch struct {
				ID string `json:"id"`
			} `json:"batch"`
		}
		require.NoError(t, json.Unmarshal(line, &r))
		all[r.Batch.ID] = append(all[r.Batch.ID], string(line))
		return nil
	})
	if os.IsNotExist(err) {
		return all
	}
	require.NoError(t, err)
	return all
}

// TestKill kills a batch at many points of its life: after each, what was
// told or written as done is there, and in the end every job has exactly one
// result.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var list []string
	for i := range victimJobs {
		list = append(list, fmt.Sprint(i))
	}
	prepared(t, dir, "jobs: {a: {matrix: {i: ["+strings.Join(list, ",")+"]}, run: ['true']}}\n")
	path := filepath.Join(dir, "journal")
	before := map[string][]string{}
	for kills := 0; ; kills++ {
		require.Less(t, kills, 200, "the batch makes progress")
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "JAILRUN_TEST_BATCH="+dir)
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		// It is killed at a moment that differs each time: after so many bytes
		// of results.
		again := 0
		for _, lines := range before {
			again += len(lines[0]) + 1 // told again, from the journal
		}
		told := make([]byte, again+kills*977%9000)
		n, _ := readFull(out, told)
		over := n < len(told)
		if !over {
			require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
		}
		err = cmd.Wait()
		after := ended(t, path)
		for id, lines := range before {
			assert.Equal(t, lines, after[id], "a result stays, and is the only one of its job")
		}
		for line := range strings.Lines(string(told[:n])) {
			if strings.HasSuffix(line, "}\n") { // told whole, so on the disk
				assert.Contains(t, mustRead(t, path), strings.TrimSuffix(line, "\n"))
			}
		}
		if before = after; over {
			require.NoError(t, err, said.String())
			break
		}
	}
	assert.Len(t, before, victimJobs)
	for id, lines := range before {
		assert.Len(t, lines, 1, id)
	}
}

func readFull(r interface{ Read([]byte) (int, error) }, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = r.Read(p[n:])
		n += k
	}
	return n, err
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}
