package main

// A flagDef is one flag of run and plan.
type flagDef struct {
	name  string // long without dashes, or one letter
	value string // what its value is called; "" takes none; a|b|c are the only ones
	about string // for help flags; "" for another spelling of the flag above
	slot  slot
	set   func(*request, string) error // nil: words.last and words.has ask for it
}

// A slot says what becomes of flags given more than once: of those in the same
// slot the last stands. It is the name of the first of them.
type slot string

const (
	once slot = ""  // a slot of its own
	many slot = "+" // each counts
)

func (f *flagDef) slotName() slot {
	if f.slot == once {
		return slot(f.name)
	}
	return f.slot
}

func (f *flagDef) dashed() string { return dashed(f.name) }

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func findFlag(name string) *flagDef {
	for i := range flagTable {
		if flagTable[i].name == name {
			return &flagTable[i]
		}
	}
	return nil
}

func flagNames() []string {
	names := make([]string, len(flagTable))
	for i := range flagTable {
		names[i] = flagTable[i].name
	}
	return names
}

// flagTable is the whole command line of run and plan. It holds functions and
// constants only, which the linker lays out: a map or a flag library would
// cost a tenth of the start or more, at every start.
var flagTable = [...]flagDef{
	// Limits.
	{"mem", "SIZE", "memory of the whole tree", once, (*request).setMemory},
	{"swap", "SIZE", "swap on top of --mem (default 0)", once, func(r *request, v string) error { return size(&r.spec.Limits.Swap, v) }},
	{"mem-high", "SIZE", "memory above which the job is slowed down, not killed (needs a delegated cgroup)", once, func(r *request, v string) error { return bound(&r.spec.Limits.MemoryHigh, v) }},
	{"cpu", "N%|N", "CPU bandwidth: 20% or 0.2 is a fifth of one CPU", once, (*request).setCPU},
	{"cpuset", "LIST", "CPUs that may be used, as 0-3,5", once, (*request).setCPUs},
	{"cpu-weight", "N", "share under contention, 1 to 10000", once, (*request).setWeight},
	{"pids", "N", "processes and threads of the job (default 512), or none", once, (*request).setPids},
	{"cpu-time", "DUR", "CPU time of the whole tree; --wall becomes 3 × it + 1s if not given", once, func(r *request, v string) error { return duration(&r.spec.Limits.CPUTime, v) }},
	{"time", "DUR", "", "cpu-time", func(r *request, v string) error { return duration(&r.spec.Limits.CPUTime, v) }},
	{"wall", "DUR", "wall clock, until the main process ends", once, func(r *request, v string) error { return duration(&r.spec.Limits.Wall, v) }},
	{"grace", "DUR", "SIGTERM first, SIGKILL after DUR (default 0; 2s when jailrun is interrupted)", once, (*request).setGrace},
	{"output", "SIZE", "bytes of stdout and stderr passed on", once, func(r *request, v string) error { return bound(&r.spec.Limits.Output, v) }},
	{"on-output", "kill|truncate", "what --output does (default kill)", once, (*request).setOnOutput},
	{"disk", "SIZE", "all writable areas together (default 512m)", once, func(r *request, v string) error { return bound(&r.spec.Limits.Disk, v) }},
	{"inodes", "N", "files in all writable areas (default 128k)", once, (*request).setInodes},
	{"nofile", "N", "descriptors of one process (default 1024)", once, (*request).setNoFile},
	{"fsize", "SIZE", "largest file a process may write", once, func(r *request, v string) error { return rlimit(&r.spec.Limits.Rlimits.FSize, v) }},
	{"stack", "SIZE", "stack of a process (default 8m)", once, func(r *request, v string) error { return rlimit(&r.spec.Limits.Rlimits.Stack, v) }},
	{"as", "SIZE", "address space of a process; breaks Go, the JVM and Node", once, func(r *request, v string) error { return rlimit(&r.spec.Limits.Rlimits.AS, v) }},
	{"memlock", "SIZE", "locked memory of a process (default 64k)", once, func(r *request, v string) error { return rlimit(&r.spec.Limits.Rlimits.MemLock, v) }},
	{"core", "SIZE", "core file of a process (default none)", once, func(r *request, v string) error { return rlimit(&r.spec.Limits.Rlimits.Core, v) }},
	{"io-read", "RATE", "bytes a second from each block device, as 10m (needs a delegated cgroup)", once, func(r *request, v string) error { return rate(&r.spec.Limits.IORead, v) }},
	{"io-write", "RATE", "bytes a second to each block device", once, func(r *request, v string) error { return rate(&r.spec.Limits.IOWrite, v) }},
	{"io-weight", "N", "share of I/O under contention, 1 to 10000", once, func(r *request, v string) (err error) {
		r.spec.Limits.IOWeight, err = count(v, "", 10000)
		return err
	}},
	{"require", "cgroup,landlock,overlay", "refuse the watchdog tier; a kernel without Landlock; what stands in for an overlay", once, (*request).setRequire},

	// Files.
	{"rootfs", "host|DIR|IMAGE", "the root: of the host's system directories (default), DIR, an image's name, oci:DIR[:TAG], docker-archive:FILE, FILE.tar", once, (*request).setRootfs},
	{"ro-root", "", "no writable layer on the root", once, func(r *request, _ string) error { return on(&r.spec.ReadOnlyRoot) }},
	{"bind", "SRC[:DST][:OPTS]", "show SRC inside; OPTS of ro (default), rw, noexec, optional, sockets", many, (*request).addBind},
	{"mount", "src=SRC,dst=DST,OPTS", "the same with CSV quoting, for odd names", many, (*request).addMount},
	{"tmpfs", "DST[:SIZE]", "an empty writable directory", many, (*request).addTmpfs},
	{"file", "DST=TEXT|@FILE", "a file with this content (@@ for a text that starts with @)", many, (*request).addFile},
	{"cwd", "cow|ro|rw|none", "how the current directory is seen inside", once, (*request).setCWD},
	{"C", "DIR", "as if started in DIR", once, nil},
	{"workdir", "DIR", "first working directory inside", once, (*request).setWorkdir},
	{"layer", "DIR|TAR", "a read-only layer over --rootfs; the last one on top", many, func(r *request, v string) error { return add(&r.spec.Layers, v) }},
	{"upper", "DIR", "keep what is written to the root in DIR/upper, a layer for later runs", once, func(r *request, v string) error { return text(&r.spec.Upper, v) }},
	{"copy-in", "SRC:DST", "give the job a copy of SRC", many, (*request).addCopyIn},
	{"copy-out", "SRC[:DST]", "copy SRC out when the job is over; DST.tar gets a tar", many, (*request).addCopyOut},
	{"diff", "FILE", "write what the job created, changed and deleted, a JSON object a line", once, func(r *request, v string) error { return text(&r.spec.Diff, v) }},
	{"export-layer", "FILE", "write what the job changed of --rootfs as an OCI layer, a tar", once, func(r *request, v string) error { return text(&r.spec.ExportLayer, v) }},

	// Identity, network, confinement.
	{"map", "self|auto|auto:isolated|IN:OUT:N…", "user and group ids of the job (default self)", once, func(r *request, v string) error { return text(&r.spec.Map.Mode, v) }},
	{"user", "UID[:GID]|caller", "who the job is inside", once, func(r *request, v string) error { return text(&r.spec.User, v) }},
	{"hostname", "NAME", "name of the machine inside (default jail)", once, func(r *request, v string) error { return text(&r.spec.Hostname, v) }},
	{"net", "none|slirp|slirp:rootlesskit|pasta|host", "loopback only (default), a user-mode network without the host and its LAN, or the host's (--unsafe net-host); none has IPv6 but the host's", once, (*request).setNet},
	{"publish", "[IP:]HOST:JOB[/udp]", "with --net slirp: the host's port HOST (of 127.0.0.1, or IP) is the job's port JOB; with pasta TCP of 127.0.0.1 only", many, addNet("publish")},
	{"net-allow", "CIDR|HOST[:PORT[/PROTO]]|dns", "with --net slirp or pasta: only this may be reached; dns opens the resolver", many, addNet("net-allow")},
	{"net-rate", "SIZE", "with --net slirp or pasta: bytes a second, each way", once, (*request).setNetRate},
	{"seccomp", "PROFILE|FILE", "system call filter: default, judge, strict, or a profile in a file; none needs --unsafe seccomp-none", once, (*request).setSeccomp},
	{"cap-add", "NAME", unsupported, many, notYet},
	{"allow-missing", "WALL,…", "run although these walls cannot be built here: keyring, landlock", many, (*request).addAllowMissing},
	{"unsafe", "NAME,…", "give up: net-host, seccomp-none, bind-home, bind-sockets", many, (*request).addUnsafe},
	{"proc", "none", unsupported, once, notYet},
	{"preset", "judge", "map auto, seccomp judge, cwd ro, stack = mem, pids 64, output 64m, require cgroup", once, nil},
	{"runtime", "auto|go|jvm|node|dotnet|python|none", "fit a language runtime to the limits", once, (*request).setRuntime},

	// Environment, input and output.
	{"env", "K=V|K", "set a variable, or pass it from the caller", many, (*request).addEnv},
	{"env-pass", "GLOB", "pass all variables of the caller that match", many, (*request).addEnvPass},
	{"env-file", "FILE", "one K=V or K a line, # for comments", many, (*request).addEnvFile},
	{"clear-env", "", "start from no variables at all", once, func(r *request, _ string) error { return on(&r.clearEnv) }},
	{"i", "", "pass stdin through (default)", "stdin", func(r *request, _ string) error { r.stdin = ""; return nil }},
	{"n", "", "no stdin (use it in shell loops)", "stdin", func(r *request, _ string) error { r.stdin = noStdin; return nil }},
	{"stdin", "FILE|null", "stdin of the job", once, (*request).setStdin},
	{"stdout", "FILE", "stdout of the job; FILE appears when the job has ended", once, func(r *request, v string) error { return text(&r.stdout, v) }},
	{"stderr", "FILE", "stderr of the job, likewise", once, func(r *request, v string) error { return text(&r.stderr, v) }},
	{"t", "", unsupported, once, noTerminal},
	{"raw-output", "", "on a terminal, keep the job's escape sequences", once, func(r *request, _ string) error { return on(&r.rawOutput) }},

	// Reports.
	{"result", "FILE|fd:N", "write the machine-readable result", once, nil},
	{"record-calls", "", "list every system call in the result; jailrun seccomp record makes a profile of them", once, func(r *request, _ string) error { return on(&r.spec.RecordCalls) }},
	{"trace-startup", "", "print what the start spent its time on", once, nil},
	{"q", "", "no notes; errors and limits still speak", once, nil},
	{"v", "", "print events and one summary line", once, nil},
	{"log-format", "text|json", "form of messages on stderr", once, checkLogFormat},
	{"picture", "", "plan only: print what the root is made of, instead of the steps", once, nil},
	{"show-secrets", "", "plan only: print the values of --env", once, nil},
	{"repeat", "N", "run N times; report median, median deviation and least of times and memory", once, (*request).setRepeat},
	{"noise", "", "say whether the machine disturbed the run: quiet or noisy", once, func(r *request, _ string) error { return on(&r.noise) }},
	{"warm", "", unsupported, once, notYet},
}

// unsupported stands in for the explanation of what is still to come.
const unsupported = "not supported by this version"
