package seccomp

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/tests/lane"
)

// programs are what default is for, as shell scripts, each with what it must
// print. They run without the filter first.
var programs = []struct {
	name   string
	needs  string // programs, by name, and asan, a feature of package lane
	script string
	prints string
	judge  bool // also under judge
}{
	{"shell", "bash", `set -m; sleep 0 & wait %1; echo a >x; diff <(cat x) x && cp -a x y && mv y z && cat z | tee w && cmp w x`, "a", true},
	{"c", "gcc", `printf 'int puts(const char*);int main(){return puts("hello")<0;}' >h.c; gcc -O2 -o h h.c && ./h`, "hello", true},
	{"c++ threads", "g++", `printf '#include <thread>\n#include <iostream>\nint main(){std::thread t([]{std::cout<<"hello\\n";});t.join();}' >h.cc; g++ -pthread -o h h.cc && ./h`, "hello", true},
	{"make", "make gcc", `printf 'all: a.o b.o c.o\n\t@echo made\n%%.o: %%.c\n\t@gcc -c $<\n' >Makefile; echo 'int a;' | tee a.c b.c >c.c; make -s -j3`, "made", true},
	{"leak sanitizer", "gcc asan", `printf '#include <stdlib.h>\nvoid *volatile p;int main(){p=malloc(77);p=0;return 0;}' >l.c; gcc -fsanitize=address -o l l.c; ./l || true`, "77 byte(s) leaked", false},
	{"strace", "strace", `strace -f -e trace=execve sh -c /bin/true`, "exited with 0", false},
	{"gdb", "gdb", `gdb -q -batch -ex 'catch syscall exit_group' -ex run -ex kill /bin/true`, "call to syscall exit_group", false},
	{"python", "python3", `python3 -c '
import multiprocessing, sqlite3, subprocess, threading, tempfile, asyncio
def square(n): return n * n
print(sum(multiprocessing.Pool(2).map(square, range(4))))
db = sqlite3.connect("db"); db.execute("create table t(a)"); db.execute("insert into t values (7)"); db.commit()
print(sqlite3.connect("db").execute("select a from t").fetchall(), subprocess.check_output(["echo", "child"]))
asyncio.run(asyncio.sleep(0))'`, "14\n[(7,)] b'child\\n'", true},
	{"java", "java", `java -Xmx32m -XX:-UsePerfData -version`, "Runtime Environment", true},
	{"node", "node", `node -e 'const fs=require("fs");fs.promises.readFile("/etc/passwd").then(b=>new Worker2(b));
class Worker2{constructor(b){const {Worker}=require("worker_threads");new Worker("console.log(6*7)",{eval:true})}}'`, "42", true},
	{"go", "go", `go version && go env GOOS`, "linux", true},
	{"git", "git", `git init -q . && echo a >f && git add f && git -c user.name=n -c user.email=e commit -qm m && git status -sb && git log --oneline && git gc -q`, "master", true},
	{"tar", "tar gzip", `mkdir d; echo a >d/f; tar czf d.tgz d && rm -r d && tar xzf d.tgz && cat d/f`, "a", true},
	{"rust", "cargo", `cargo --version`, "cargo", true},
}

// It needs a real kernel with seccomp, which every host has, and half a minute
// in a lane.
func TestPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("long; go test runs it on the host")
	}
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			require.NotZero(t, os.Geteuid())
			requirePrograms(t, p.needs)
			runScript(t, "none", p.script, p.prints)
			runScript(t, "default", p.script, p.prints)
			if p.judge {
				runScript(t, "judge", p.script, p.prints)
			}
		})
	}
}

func runScript(t *testing.T, filter, script, prints string) {
	t.Helper()
	out, err := output(helper(t, "exec", filter, "/bin/bash", "-c", script))
	require.NoError(t, err, "under %s: %s", filter, out)
	assert.Contains(t, out, prints, "under %s", filter)
}

// requirePrograms skips the test where one of the programs is not installed for
// everybody. JAILRUN_REQUIRE=gcc,java,… turns such a skip into a failure.
func requirePrograms(t *testing.T, names string) {
	t.Helper()
	for name := range strings.FieldsSeq(names) {
		if name == "asan" {
			lane.Require(t, name)
			continue
		}
		found := slices.ContainsFunc([]string{"/usr/local/go/bin", "/usr/local/bin", "/usr/bin", "/bin"}, func(dir string) bool {
			st, err := os.Stat(filepath.Join(dir, name))
			return err == nil && st.Mode()&1 != 0
		})
		if found {
			continue
		}
		if slices.Contains(strings.Split(os.Getenv("JAILRUN_REQUIRE"), ","), name) {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
}
