package jobspec

import "github.com/jailrun/jailrun/sandbox"

// Flags are the fields that the flags of `jailrun run` have, by the same names
// and in the same units.
type Flags struct {
	Mem       *Memory   `yaml:"mem" doc:"memory of the whole tree"`
	MemHigh   *Bound    `yaml:"mem-high" doc:"memory above which the job is slowed down, not killed (needs a delegated cgroup)"`
	Swap      *Size     `yaml:"swap" doc:"swap on top of mem (default 0)"`
	CPU       *CPU      `yaml:"cpu" doc:"CPU bandwidth: 20% or 0.2 is a fifth of one CPU"`
	CPUSet    *CPUList  `yaml:"cpuset" doc:"CPUs that may be used, as 0-3,5"`
	CPUWeight *Weight   `yaml:"cpu-weight" doc:"share under contention, 1 to 10000"`
	Pids      *Pids     `yaml:"pids" doc:"processes and threads of the job (default 512), or none"`
	CPUTime   *Duration `yaml:"cpu-time" doc:"CPU time of the whole tree; wall becomes 3 × it + 1s if not given"`
	Wall      *Duration `yaml:"wall" doc:"wall clock, until the main process ends"`
	Grace     *Grace    `yaml:"grace" doc:"SIGTERM first, SIGKILL after this (default 0)"`
	Output    *Bound    `yaml:"output" doc:"bytes of stdout and stderr taken (default 64m)"`
	OnOutput  OnOutput  `yaml:"on-output" doc:"what output does (default kill)"`
	Disk      *Bound    `yaml:"disk" doc:"all writable areas together (default 512m)"`
	Inodes    *Inodes   `yaml:"inodes" doc:"files in all writable areas (default 128k)"`
	NoFile    *Files    `yaml:"nofile" doc:"descriptors of one process (default 1024)"`
	FSize     *Size     `yaml:"fsize" doc:"largest file a process may write"`
	Stack     *Size     `yaml:"stack" doc:"stack of a process (default 8m)"`
	AS        *Size     `yaml:"as" doc:"address space of a process; breaks Go, the JVM and Node"`
	MemLock   *Size     `yaml:"memlock" doc:"locked memory of a process (default 64k)"`
	Core      *Size     `yaml:"core" doc:"core file of a process (default none)"`
	IORead    *Rate     `yaml:"io-read" doc:"bytes a second from each block device, as 10m (needs a delegated cgroup)"`
	IOWrite   *Rate     `yaml:"io-write" doc:"bytes a second to each block device"`
	IOWeight  *Weight   `yaml:"io-weight" doc:"share of I/O under contention, 1 to 10000"`
	Require   Requires  `yaml:"require" doc:"what must be: cgroup refuses the watchdog tier, landlock a kernel without it, overlay a cwd or layers that are no overlay"`

	Rootfs  string            `yaml:"rootfs" doc:"the root: host (default), the name of an imported image, or beside this file a directory, FILE.tar, oci:DIR[:TAG] or docker-archive:FILE"`
	RORoot  *bool             `yaml:"ro-root" doc:"no writable layer on the root"`
	Layer   Names             `yaml:"layer" doc:"directories, or tars of layers, beside this file that are further read-only layers over rootfs, the last on top"`
	CopyIn  []Copy            `yaml:"copy-in" doc:"files and directories beside this file that the job gets a copy of: SRC:DST, or fields"`
	Bind    []Bind            `yaml:"bind" doc:"files and directories shown inside: SRC[:DST][:OPTS], or fields"`
	Tmpfs   []Tmpfs           `yaml:"tmpfs" doc:"empty writable directories: DST[:SIZE]"`
	File    map[string]string `yaml:"file" doc:"place inside: text of a file there; @NAME takes a file's content, @@ is a text that starts with @"`
	CWD     CWD               `yaml:"cwd" doc:"how the directory of this file is seen inside as /work (default cow; none for a job with an answer or a cache)"`
	Dir     string            `yaml:"dir" doc:"the directory to be seen instead, beside this file (flag -C)"`
	Workdir string            `yaml:"workdir" doc:"first working directory inside"`

	Map          string  `yaml:"map" doc:"user and group ids of the job: self (default), auto, or ranges IN:OUT:N"`
	User         string  `yaml:"user" doc:"who the job is inside: UID[:GID], or caller"`
	Hostname     string  `yaml:"hostname" doc:"name of the machine inside (default jail)"`
	Net          Net     `yaml:"net" doc:"network: none (default), slirp or pasta; the command line must allow it"`
	NetAllow     Names   `yaml:"net-allow" doc:"only this may be reached: CIDR or HOST[:PORT[/PROTO]]; dns opens the resolver"`
	Publish      Names   `yaml:"publish" doc:"with net: slirp, ports of the host that are the job's: [IP:]HOST:JOB[/udp]; two jobs at a time cannot have the same"`
	NetRate      *Rate   `yaml:"net-rate" doc:"bytes a second over the network, each way"`
	Seccomp      string  `yaml:"seccomp" doc:"system call filter: default, judge, strict, or a profile in a file beside this one, which the command line must allow"`
	AllowMissing Names   `yaml:"allow-missing" doc:"walls of the confinement that this host may lack"`
	Preset       Preset  `yaml:"preset" doc:"judge: map auto, seccomp judge, cwd ro, stack = mem, pids 64, output 64m, require cgroup; other fields win"`
	Runtime      Runtime `yaml:"runtime" doc:"fit a language runtime to the limits"`

	Repeat *Repeats `yaml:"repeat" doc:"run so many times; the result sums up times and memory"`
	Noise  *bool    `yaml:"noise" doc:"say in the result whether the machine disturbed the run"`

	Env      map[string]string `yaml:"env" doc:"variables of the job; nothing of the caller's is passed"`
	EnvFile  Names             `yaml:"env-file" doc:"files beside this one with K=V a line"`
	ClearEnv *bool             `yaml:"clear-env" doc:"start from no variables at all"`
}

// A Bind shows a file or directory inside. Sources lie beside the job file, or
// where the command line allows it.
type Bind struct {
	Source   string `yaml:"src" doc:"outside"`
	Target   string `yaml:"dst" doc:"inside, absolute (default: as outside)"`
	Writable bool   `yaml:"rw" doc:"may be written; the command line must allow it"`
	NoExec   bool   `yaml:"noexec" doc:"nothing in it can be executed"`
	Optional bool   `yaml:"optional" doc:"may be missing"`
}

// A Copy is a file or directory that the job gets a copy of.
type Copy struct {
	Source string `yaml:"src" doc:"outside, beside this file"`
	Target string `yaml:"dst" doc:"inside; relative to the first directory of the job"`
}

// A Tmpfs is an empty writable directory.
type Tmpfs struct {
	Target string `yaml:"dst" doc:"inside, absolute"`
	Size   *Bound `yaml:"size" doc:"at most disk"`
}

// OnOutput is what the output limit does.
type OnOutput string

func (o *OnOutput) parse(text string) (err error) {
	*(*string)(o), err = choose(text, o.words()...)
	return err
}

func (*OnOutput) words() []string { return []string{"kill", "truncate"} }

// Require is what a run is refused without.
type Require string

// Requires is one of them, or a list.
type Requires []Require

func (r *Require) parse(text string) (err error) {
	*(*string)(r), err = choose(text, r.words()...)
	return err
}

func (*Require) words() []string {
	return []string{requireCgroup, sandbox.WallLandlock, sandbox.RequireOverlay}
}

const requireCgroup = "cgroup"

// CWD is how the directory is seen.
type CWD string

func (c *CWD) parse(text string) (err error) {
	*(*string)(c), err = choose(text, c.words()...)
	return err
}

func (*CWD) words() []string { return []string{"cow", "ro", "rw", "none"} }

// Preset names a set of defaults.
type Preset string

func (p *Preset) parse(text string) (err error) {
	*(*string)(p), err = choose(text, p.words()...)
	return err
}

func (*Preset) words() []string { return []string{"judge"} }

// Runtime names a language runtime.
type Runtime string

func (r *Runtime) parse(text string) (err error) {
	*(*string)(r), err = choose(text, r.words()...)
	return err
}

func (*Runtime) words() []string { return sandbox.Runtimes[:] }
