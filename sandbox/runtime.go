package sandbox

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/jailrun/jailrun/limits"
)

// Runtimes are the values of Spec.Runtime, besides "".
var Runtimes = [...]string{"auto", "go", "jvm", "node", "dotnet", "python", "none"}

// A RuntimeReport says how a language runtime was fitted to the limits.
type RuntimeReport struct {
	Name string   `json:"name"`          // "jvm"; under auto what was recognised
	Env  []string `json:"env,omitempty"` // variables that were added for it, K=V
}

// A language runtime sizes itself by the machine: heaps by all of its memory,
// threads by all of its CPUs. Inside a sandbox it cannot see the limits (no
// cgroup file system is mounted), so it would run into them. Its variables
// tell it.
type languageRuntime struct {
	name  string // "jvm"
	label string // "the JVM"
	tasks int    // processes and threads that a small program of it needs
	env   func(m limits.Size, cpus int) []string
}

var languageRuntimes = [...]languageRuntime{
	{"go", "Go", 10, goRuntime},
	{"jvm", "the JVM", 30, jvmRuntime},
	{"node", "Node", 15, nodeRuntime},
	{"dotnet", ".NET", 25, dotnetRuntime},
	{"python", "Python", 2, pythonRuntime},
}

// runtimeNamed returns nil for a name that stands for none.
func runtimeNamed(name string) *languageRuntime {
	for i := range languageRuntimes {
		if languageRuntimes[i].name == name {
			return &languageRuntimes[i]
		}
	}
	return nil
}

// runtimeOf recognises a runtime by the name of the program that starts it.
func runtimeOf(program string) *languageRuntime {
	base := path.Base(program)
	switch base {
	case "go", "gofmt":
		return runtimeNamed("go")
	case "java", "javac", "jshell", "jar", "kotlin", "kotlinc", "scala", "scalac", "groovy", "mvn", "gradle", "clojure":
		return runtimeNamed("jvm")
	case "node", "nodejs", "npm", "npx", "yarn", "pnpm", "tsc":
		return runtimeNamed("node")
	case "dotnet":
		return runtimeNamed("dotnet")
	}
	if rest, ok := strings.CutPrefix(base, "python"); ok && strings.Trim(rest, "0123456789.") == "" {
		return runtimeNamed("python")
	}
	return nil
}

// fitRuntime works out the variables for the asked runtime; nil if there are
// none to add. What the job's environment sets already stays.
func (s *Spec) fitRuntime(l *Limits) *RuntimeReport {
	if s.Runtime == "" || s.Runtime == "none" {
		return nil
	}
	rt := runtimeNamed(s.Runtime)
	if s.Runtime == "auto" {
		// A program of an unknown name may well be one of Go, whose variables
		// mean nothing to any other.
		if rt = runtimeOf(s.Args[0]); rt == nil {
			rt = runtimeNamed("go")
		}
	}
	cpus := 0
	if l.CPU > 0 {
		cpus = int((l.CPU + limits.OneCPU - 1) / limits.OneCPU)
	}
	rep := &RuntimeReport{Name: rt.name}
	own := s.environment()
	for _, kv := range rt.env(l.Memory, cpus) {
		name, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(own, func(have string) bool { return strings.HasPrefix(have, name+"=") }) {
			rep.Env = append(rep.Env, kv)
		}
	}
	return rep
}

// The amounts below leave to the runtime itself what it was seen to need
// besides its heap (tests/corpus runs each under its smallest limit). m and
// cpus are 0 where there is no limit.

func goRuntime(m limits.Size, cpus int) (env []string) {
	if cpus > 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(cpus))
	}
	if m > 0 { // a soft limit, for all that the runtime maps: stacks of threads and the binary are outside
		env = append(env, "GOMEMLIMIT="+strconv.FormatUint(uint64(m-m/8), 10))
	}
	return env
}

func jvmRuntime(m limits.Size, cpus int) []string {
	var opts []string
	if cpus > 0 {
		opts = append(opts, "-XX:ActiveProcessorCount="+strconv.Itoa(cpus))
	}
	if m > 0 {
		// Metaspace, code, thread stacks and the collector's own memory take
		// 40 MiB before the first object.
		heap := m / 2
		if m < 128*limits.MiB {
			heap = m / 4
		}
		opts = append(opts, "-Xmx"+megabytes(heap)+"m", "-XX:+UseSerialGC", "-Xss512k", "-XX:-UsePerfData")
		if m < 256*limits.MiB {
			opts = append(opts, "-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=16m")
		}
	}
	if opts == nil {
		return nil
	}
	return []string{"JAVA_TOOL_OPTIONS=" + strings.Join(opts, " "), "MALLOC_ARENA_MAX=1"}
}

func nodeRuntime(m limits.Size, cpus int) (env []string) {
	if m > 0 {
		// The old space alone: Node itself maps 40 MiB, half of which it writes.
		heap, young := m-m/4, ""
		switch {
		case m < 96*limits.MiB:
			// An older Node than 20 refuses the second option; its old space
			// alone would not fit.
			heap, young = m/4, " --max-semi-space-size=1"
		case m < 256*limits.MiB:
			heap = m / 2
		}
		env = append(env, "NODE_OPTIONS=--max-old-space-size="+megabytes(heap)+young, "MALLOC_ARENA_MAX=1")
	}
	if cpus > 0 {
		env = append(env, "UV_THREADPOOL_SIZE="+strconv.Itoa(max(cpus, 2)))
	}
	return env
}

func dotnetRuntime(m limits.Size, cpus int) []string {
	env := []string{"DOTNET_EnableDiagnostics=0"} // its pipes and thread
	if cpus > 0 {
		env = append(env, "DOTNET_PROCESSOR_COUNT="+strconv.Itoa(cpus))
	}
	if m > 0 {
		env = append(env, "DOTNET_gcServer=0", "DOTNET_GCHeapHardLimit=0x"+strconv.FormatUint(uint64(m/2), 16), "MALLOC_ARENA_MAX=1")
	}
	return env
}

// pythonRuntime bounds the threads of numerical libraries, which start one for
// each CPU of the machine, and the arenas of malloc.
func pythonRuntime(m limits.Size, cpus int) (env []string) {
	if m > 0 {
		env = append(env, "MALLOC_ARENA_MAX=1")
	}
	if cpus > 0 {
		n := strconv.Itoa(cpus)
		env = append(env, "PYTHON_CPU_COUNT="+n, "OMP_NUM_THREADS="+n, "OPENBLAS_NUM_THREADS="+n, "MKL_NUM_THREADS="+n)
	}
	return env
}

func megabytes(n limits.Size) string { return strconv.FormatUint(max(uint64(n/limits.MiB), 1), 10) }
