package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
)

// A Report is what [Start] has measured. Times are nanoseconds in JSON.
type Report struct {
	Format     int                 `json:"version"` // of this format: 1
	Kernel     string              `json:"kernel"`
	Machine    string              `json:"machine"`
	CPUs       int                 `json:"cpus"`
	Rounds     int                 `json:"rounds"`
	Realtime   bool                `json:"realtime,omitempty"`
	Contenders []Sum               `json:"contenders"`
	Missing    []Missing           `json:"missing,omitempty"`
	Goals      []Goal              `json:"goals,omitempty"`
	Stages     []sandbox.StageTime `json:"stages"` // of jailrun, the median of each
}

// A Sum is what one contender took.
type Sum struct {
	Name     string          `json:"name"`
	About    string          `json:"about"`
	Version  string          `json:"program,omitempty"` // as it names itself
	Isolates []string        `json:"isolates,omitempty"`
	Lacks    []string        `json:"lacks,omitempty"` // of what jailrun does
	P50      time.Duration   `json:"p50_ns"`
	P95      time.Duration   `json:"p95_ns"`
	P99      time.Duration   `json:"p99_ns"`
	CPU      time.Duration   `json:"cpu_p50_ns"` // of all its processes
	Ratio    float64         `json:"ratio"`      // jailrun's median to this one's
	Samples  []time.Duration `json:"samples_ns"`
}

// Missing is a contender that could not take part.
type Missing struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// A Goal is the ratio of two medians that is not to be exceeded.
type Goal struct {
	Of   string  `json:"of"`
	To   string  `json:"to"`
	Is   float64 `json:"is"`
	Most float64 `json:"most"`
}

var goals = []Goal{
	{nameJailrun, nameBwrap, 0, 1.0},
	{nameJailrun, nameNsjail, 0, 0.65},
	{nameJailrun, nameRunc, 0, 0.2},
	{nameJailrun, nameFloor, 0, 1.6},
	{nameVersion, nameEmpty, 0, 1.35},
}

func (c *contender) sum() Sum {
	wall, cpu := slices.Sorted(slices.Values(c.wall)), slices.Sorted(slices.Values(c.cpu))
	return Sum{
		Name: c.Name, About: c.About, Version: c.Version, Isolates: c.Isolates, Lacks: c.Lacks,
		P50: percentile(wall, 50), P95: percentile(wall, 95), P99: percentile(wall, 99), CPU: percentile(cpu, 50), Samples: c.wall,
	}
}

// percentile of sorted values.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)-1)*p/100]
}

// compare fills in the ratios.
func (r *Report) compare() {
	median := map[string]float64{}
	for _, c := range r.Contenders {
		median[c.Name] = float64(c.P50)
	}
	for i := range r.Contenders {
		r.Contenders[i].Ratio = median[nameJailrun] / float64(r.Contenders[i].P50)
	}
	for _, g := range goals {
		if median[g.Of] > 0 && median[g.To] > 0 {
			g.Is = median[g.Of] / median[g.To]
			r.Goals = append(r.Goals, g)
		}
	}
}

// host fills in what it was measured on.
func (r *Report) host() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return os.NewSyscallError("uname", err)
	}
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	r.Kernel, r.Machine, r.CPUs = unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:]), cpus.Count()
	return nil
}

// Print writes the report as tables that fit into a README.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	var versions []string
	for _, c := range r.Contenders {
		if c.Version != "" && c.Name != "bwrap-unmasked" {
			versions = append(versions, c.Version)
		}
	}
	fmt.Fprintf(&b, "Linux %s, %s, %d CPUs; %s; unprivileged user; caches warm%s.\n\n", r.Kernel, r.Machine, r.CPUs, strings.Join(versions, ", "), map[bool]string{true: "; real-time priority"}[r.Realtime])
	fmt.Fprintf(&b, "| whole process, %d runs each, taking turns | p50 | p95 | p99 | CPU | jailrun : it |\n|---|---|---|---|---|---|\n", r.Rounds)
	for _, c := range r.Contenders {
		fmt.Fprintf(&b, "| %s: %s | %s | %s | %s | %s | %.2f |\n", c.Name, c.About, ms(c.P50), ms(c.P95), ms(c.P99), ms(c.CPU), c.Ratio)
	}
	b.WriteString("\n| ratio of medians | measured | goal |\n|---|---|---|\n")
	for _, g := range r.Goals {
		fmt.Fprintf(&b, "| %s : %s | %.2f | ≤ %.2f |\n", g.Of, g.To, g.Is, g.Most)
	}
	b.WriteString("\nWhat each did of what jailrun does, and what it did not:\n\n")
	for _, c := range r.Contenders {
		if len(c.Isolates) > 0 {
			fmt.Fprintf(&b, "- %s: %s.", c.Name, strings.Join(c.Isolates, "; "))
			if len(c.Lacks) > 0 {
				fmt.Fprintf(&b, " Not: %s.", strings.Join(c.Lacks, "; "))
			}
			b.WriteByte('\n')
		}
	}
	for _, m := range r.Missing {
		fmt.Fprintf(&b, "- %s did not take part: %s\n", m.Name, m.Why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }

// stages runs jailrun that often and returns the median of each stretch of its
// launch. Stretches that a run has not in common with the first are left out.
func stages(ctx context.Context, jailrun string, rounds int) ([]sandbox.StageTime, error) {
	where, err := os.MkdirTemp(".", "stages-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(where)
	file := filepath.Join(where, "result.json")
	var all [][]sandbox.StageTime
	for range rounds {
		if err := output(exec.CommandContext(ctx, jailrun, "-q", "--trace-startup", "--result", file, "--", job)); err != nil {
			return nil, err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var r sandbox.Result
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, err
		}
		if r.Startup != nil && (len(all) == 0 || len(r.Startup.Stages) == len(all[0])) {
			all = append(all, r.Startup.Stages)
		}
	}
	list := slices.Clone(all[0])
	for i := range list {
		var start, took []time.Duration
		for _, run := range all {
			start, took = append(start, run[i].Start), append(took, run[i].Took)
		}
		slices.Sort(start)
		slices.Sort(took)
		list[i].Start, list[i].Took = percentile(start, 50), percentile(took, 50)
	}
	return list, nil
}
