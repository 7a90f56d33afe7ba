package seccomp

import _ "embed" // the filters of this architecture only

//go:embed filters/default_arm64.bpf
var filterDefault string

//go:embed filters/default-nomemfd_arm64.bpf
var filterDefaultNomemfd string

//go:embed filters/judge_arm64.bpf
var filterJudge string

//go:embed filters/judge-nomemfd_arm64.bpf
var filterJudgeNomemfd string

//go:embed filters/strict_arm64.bpf
var filterStrict string

//go:embed filters/strict-nomemfd_arm64.bpf
var filterStrictNomemfd string

//go:embed filters/init_arm64.bpf
var filterInit string

//go:embed filters/server_arm64.bpf
var filterServer string

// The names of the calls, to name what was denied.
//
//go:embed profiles/syscalls_arm64.txt
var syscallNumbers string

// Arch is the AUDIT_ARCH_ of the running architecture.
const Arch = 0xc00000b7
