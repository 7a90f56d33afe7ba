package seccomp

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// abiVictim asks for its pid and for a UNIX socket as i386 (int 0x80; getpid 20,
// socketcall 102) and as x32 (getpid 39 with bit 30), and prints what it got.
const abiVictim = `
#include <stdio.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <sys/mman.h>
static long int80(long nr, long a, long b) {
	long r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b) : "memory");
	return r;
}
int main(void) {
	unsigned *args = mmap(0, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_32BIT, -1, 0);
	args[0] = 1; args[1] = 1; args[2] = 0;
	long pid = int80(20, 0, 0), fd = int80(102, 1, (long)args);
	long x32 = syscall(0x40000000 | SYS_getpid);
	printf("%s %s %s\n", pid == getpid() ? "pid" : pid == -38 ? "ENOSYS" : "?",
	       fd >= 0 ? "fd" : fd == -38 ? "ENOSYS" : "?", x32 == getpid() ? "pid" : "none");
}`

func TestForeignABIOnKernel(t *testing.T) {
	requirePrograms(t, "gcc")
	run := func(filter string) (string, error) {
		return output(helper(t, "exec", filter, "/bin/bash", "-c", "cat >v.c <<'END'\n"+abiVictim+"\nEND\ngcc -o v v.c && exec ./v"))
	}
	out, err := run("none")
	if err != nil || !strings.HasPrefix(out, "pid fd ") {
		t.Skipf("this kernel has no i386 calls: %v %s", err, out) // CONFIG_IA32_EMULATION
	}
	for _, filter := range []string{"default", "judge"} {
		out, err := run(filter)
		require.NoError(t, err, out)
		assert.Equal(t, "ENOSYS ENOSYS none\n", out, filter)
	}
	out, err = run("strict")
	require.Error(t, err, out)
	assert.Equal(t, 159, helperStatus(err), "killed by SIGSYS: %v %s", err, out)
}
