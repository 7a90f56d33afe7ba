package prog

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// That the C is right C, and makes the same sandbox, is tested where it is
// compiled, in bench.
func TestWriteC(t *testing.T) {
	t.Parallel()
	p := &Program{Flags: unix.CLONE_NEWUSER}
	out := p.Slot("stdout")
	p.AddInit(StageRoot,
		Mkdir("a */ b", 0o755).Ignore(unix.EEXIST),
		Open("/x", unix.O_RDONLY, "O_RDONLY", 0, out),
		Write(out, []byte{1, 255}, "2 bytes"),
		KeepOnly(SlotStatus, out), Fork(), Reap())
	p.AddJob(StageExec,
		Prctl(unix.PR_CAPBSET_DROP, "PR_CAPBSET_DROP", Int(0)).Loop(1, 63).Ignore(unix.EINVAL),
		Call("seccomp", unix.SYS_SECCOMP, Int(1), Int(0), Filter(make([]byte, 16), "filter")),
		Call("execve", unix.SYS_EXECVE, Str("/bin/x\n"), Strings([]string{"x", "?"}, ""), Strings(nil, "")).Search())
	var b strings.Builder
	require.NoError(t, p.WriteC(&b))
	for _, want := range []string{
		"#define PLAN_FLAGS 0x10000000UL\n",
		"\t{\"status\", 0},\n", "\t{\"stdout\", 7},\n",
		"/* mkdirat(AT_FDCWD, \"a * / b\", 0755) */\n\tfloor_call(0, -1, 17, 0, 0, ",
		", -100L, (long)\"a */ b\", 493L, 0L, 0L, 0L);\n",
		"slot[7] = floor_call(1, ",
		"static unsigned char init_2_1[2] __attribute__((aligned(8))) = {1,255,};\n",
		"floor_call(2, 2, 0, 0, 0, ", ", slot[7], (long)init_2_1, 2L, ",
		"floor_keep_only(0x81UL);\n",
		"if ((slot[4] = floor_fork()) == 0)\n\t\tplan_job();\n",
		"floor_reap();\n",
		"for (unsigned long n = 0L; n <= 63UL; n++)\n\t\tfloor_call(0, -1, 22, 0, 0, ", ", 24L, n, 0L, 0L, 0L, 0L);\n",
		"static struct sock_fprog job_1_2 = {2, (struct sock_filter *)job_1_2_code};\n",
		"floor_try(2, -1, 0, 0, 0, ", `(long)"/bin/x\012", (long)job_2_1, (long)job_2_2,`,
		`static char *job_2_1[] = {"x", "\077", 0};`,
	} {
		assert.Contains(t, b.String(), want)
	}
	p.AddInit(StageRoot, Call("unheard-of", opReap+100))
	assert.ErrorContains(t, p.WriteC(&b), "step 6 of init, unheard-of")
}
