package main

const batchHelp = `jailrun batch runs the jobs of a file, each in a sandbox of its own.

  jailrun batch [flags] jobs.yaml

  --check               only check the file, and whether every job fits here
  -j N|auto             jobs at a time (auto: one for each CPU we may use)
  --memory SIZE         memory all jobs may have together (default: what there is)
  --var K=V, --var-env K  values for the variables that the file declares
  --allow DIR[:rw]      jobs may be shown DIR, which lies elsewhere (rw: write it)
  --allow-net           jobs may have the networks that the file asks for (net)
  --allow-seccomp       and the system call filters that it brings along
  --resume              go on with a batch that was interrupted or killed
  --journal FILE        keep results there instead of in the state directory
  --state DIR           state directory (~/.local/state/jailrun/batch)
  --cold                prepare no sandboxes ahead

Reports
  --results FILE|-      every result as one JSON object a line, as it is known
  --junit FILE, --tap FILE|-, --html FILE
  --github              annotations for GitHub Actions, on stdout
  -q, --quiet           no progress and no table

The first Ctrl-C lets no further job start, the second ends those that run.
Exit status: 0 all passed, 1 some did not, 125 jailrun failed, 130 interrupted.

  jailrun spec example > jobs.yaml && jailrun batch jobs.yaml
`
