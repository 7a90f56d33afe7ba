package main

import "strings"

// helpText fits a screen of 80 columns and 48 lines and ends with examples.
// Everything else is for help flags.
const helpText = `jailrun runs an untrusted program in a sandbox with hard limits and says
truthfully why it ended.

  jailrun [run] [flags] [--] CMD [ARG...]   run one job
  jailrun plan [flags] -- CMD [ARG...]      print what would be done, do nothing
  jailrun doctor [--format json]            probe this host, print exact fixes
  jailrun gc                                sweep what crashed runs left
  jailrun batch FILE | judge PACKAGE        many jobs (batch --help)
  jailrun image import|pull|list|rm|gc      images for --rootfs
  jailrun seccomp | selftest | bench        filters, attacks, start-up (--help)
  jailrun version | completion SHELL | help flags

Limits (sizes 100m, 1.5GiB; durations 1.5s, 200ms, 2m)
  --mem SIZE        memory of the whole tree      --cpu N%      CPU bandwidth
  --wall DUR        wall clock                    --cpu-time DUR  CPU time
  --pids N          processes and threads (512)   --output SIZE  stdout+stderr
  --disk SIZE       all writable areas (512m)     --nofile N    descriptors
  --grace DUR       SIGTERM first, SIGKILL after  --require cgroup

What the job sees: the host's /usr, no home, no network, no variables of yours,
and the current directory as /work, where writes are discarded
  --cwd cow|ro|rw|none      how the current directory is seen
  -C DIR                    as if started in DIR
  --bind SRC[:DST][:rw]     show a file or directory, read-only unless rw
  --tmpfs DST, --file DST=TEXT|@FILE, --rootfs DIR|IMAGE, --ro-root
  --env K=V, --env K, --env-pass GLOB, --env-file FILE, --clear-env
  -n, --stdin FILE, --stdout FILE, --stderr FILE

Who the job is
  --map self|auto, --user UID[:GID], --hostname NAME, --seccomp PROFILE|FILE
  --net slirp [--net-allow HOST[:PORT]] [--publish HOST:JOB]
  --preset judge            settings for judging submissions

Reports
  --result FILE|fd:N        the verdict and all measurements as one JSON object
  --repeat N, --noise       median of N runs; was the machine quiet
  -q, -v, --log-format json, --trace-startup

A flag given twice counts once, the last (--bind, --env and their like add up).
Exit code: the job's own; 128+N signal; 124 limit; 159 system call refused;
125 jailrun failed; 126 cannot execute; 127 not found; 130/143 interrupted.

Examples
  jailrun --mem 100m --cpu 20% --wall 10s -- ./a.out
  jailrun --wall 2s --result r.json --stdin in.txt --stdout out.txt -- ./a.out
  jailrun --cwd rw -- make test
  jailrun plan -- /bin/true
`

func printHelp(say *console, args []string) int {
	switch {
	case len(args) == 0:
		return show(say, helpText)
	case len(args) == 1 && args[0] == "flags":
		return show(say, flagsText())
	case len(args) == 1 && findCommand(args[0]) != nil:
		if c := findCommand(args[0]); c.sibling {
			return runSibling(say, c.name, []string{"--help"})
		}
		return show(say, helpText)
	}
	return fail(say, "no help for "+quote(strings.Join(args, " ")), "jailrun help, jailrun help flags")
}

// flagsText lists every flag with its explanation.
func flagsText() string {
	const column = 32
	var b strings.Builder
	for i := range flagTable {
		f := &flagTable[i]
		if !f.offered() {
			continue
		}
		left := "  " + f.dashed()
		if f.value != "" {
			left += " " + f.value
		}
		about := f.about
		switch {
		case about == "":
			about = "the same as " + dashed(string(f.slot))
		case f.slot == many:
			about += " (may be repeated)"
		}
		if len([]rune(left)) > column-2 {
			b.WriteString(left + "\n" + strings.Repeat(" ", column) + about + "\n")
			continue
		}
		b.WriteString(left + strings.Repeat(" ", column-len([]rune(left))) + about + "\n")
	}
	return b.String() + "\nAll others count once: of several the last one stands.\n"
}
