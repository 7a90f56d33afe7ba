package sandbox_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox"
)

// programs are what a job is for, as shell scripts, each with what it must
// print: with every wall in force, and nothing said of them.
var programs = []struct {
	name   string
	needs  string // programs, by name, as a job finds them
	script string
	prints string
	judge  bool // also under judge
}{
	{"gcc", "gcc", `printf 'int puts(const char*);int main(){return puts("hello")<0;}' >h.c; gcc -O2 -o h h.c && ./h`, "hello", true},
	{"g++", "g++", `printf '#include <thread>\n#include <iostream>\nint main(){std::thread t([]{std::cout<<"hello\\n";});t.join();}' >h.cc; g++ -pthread -o h h.cc && ./h`, "hello", true},
	{"make -j", "make gcc", `for i in 1 2 3 4 5 6 7 8; do echo "int a$i;" >a$i.c; done; printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\n\t@echo made\n%%.o: %%.c\n\t@gcc -c $<\n' >Makefile; make -s -j`, "made", true},
	{"go build", "go", `mkdir m; cd m; printf 'module m\n\ngo 1.21\n' >go.mod; printf 'package main\nfunc main() { println("hello") }\n' >m.go; go build -o x . && ./x`, "hello", false},
	{"rust", "cargo", `cargo new -q --vcs none r && cd r && cargo run -q`, "Hello, world!", false},
	{"javac and java", "javac java", `echo 'public class H { public static void main(String[] a) throws Exception { Thread t = new Thread(() -> System.out.println("hello")); t.start(); t.join(); } }' >H.java; javac -J-Xmx128m H.java && java -Xmx64m H`, "hello", true},
	{"node with workers", "node", `node -e 'const {Worker}=require("worker_threads"); let n=0; for (let i=0;i<3;i++) new Worker("require(\"worker_threads\").parentPort.postMessage(7)",{eval:true}).on("message",m=>{if((n+=m)==21)console.log("hello",n)})'`, "hello 21", true},
	{"python multiprocessing", "python3", `python3 -c '
import multiprocessing as m
print("hello", sum(m.Pool(3).map(abs, range(-4, 4))), m.Queue(), sep=" ")
with m.Manager() as g: print(g.list([1, 2]))'`, "hello 16", true},
	{"python sqlite", "python3", `python3 -c '
import sqlite3
a = sqlite3.connect("db"); a.execute("pragma journal_mode=wal"); a.execute("create table t(a)"); a.execute("insert into t values (7)"); a.commit()
print("hello", sqlite3.connect("db").execute("select a from t").fetchall())'`, "hello [(7,)]", true},
	{"git", "git", `git init -q . && echo a >f && git add f && git -c user.name=n -c user.email=e commit -qm hello && git log --oneline && git gc -q && git fsck && git status -s`, "hello", true},
	{"strace", "strace", `strace -f -e trace=execve sh -c /bin/true`, "exited with 0", false},
	{"gdb", "gdb gcc", `echo 'int main(void){return 7;}' >g.c; gcc -g -o g g.c; gdb -nx -batch -ex "break main" -ex run -ex continue ./g`, "exited with code 07", false},
	{"valgrind", "valgrind gcc", `echo 'int main(void){return 0;}' >v.c; gcc -g -o v v.c; valgrind --error-exitcode=9 ./v 2>&1`, "0 errors from 0 contexts", true},
	{"leak sanitizer", "gcc", `printf '#include <stdlib.h>\nvoid *volatile p;int main(){p=malloc(77);p=0;return 0;}' >l.c; gcc -fsanitize=address -o l l.c; ./l || true`, "77 byte(s) leaked", false},
}

// A lane shows nothing new of it, and takes minutes.
func TestProgramsWork(t *testing.T) {
	if testing.Short() {
		t.Skip("long; go test runs it on the host")
	}
	t.Parallel()
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			path, ok := findTools(p.needs)
			if !ok {
				if slices.ContainsFunc(strings.Fields(p.needs), func(n string) bool {
					return slices.Contains(strings.Split(os.Getenv("JAILRUN_REQUIRE"), ","), n)
				}) {
					t.Fatalf("not installed for everybody: %s", p.needs)
				}
				t.Skipf("not installed for everybody: %s", p.needs)
			}
			for _, profile := range []string{"default", "judge"} {
				if profile == "judge" && !p.judge {
					continue
				}
				c := sandbox.Command("/bin/sh", "-ec", p.script)
				var out bytes.Buffer
				c.Stdout, c.Stderr, c.CWD, c.Seccomp = &out, &out, sandbox.CWDNone, profile
				c.Env = append(sandbox.DefaultEnv(), "PATH="+path, "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local", "GOTELEMETRY=off", "CGO_ENABLED=0")
				res, err := c.Run(t.Context())
				require.NoError(t, err)
				assert.Equal(t, sandbox.Exited, res.Verdict, "%s: %s\n%s", profile, res.Cause, out.String())
				if assert.NotNil(t, res.ExitCode) {
					assert.Zero(t, *res.ExitCode, "%s: denied %v\n%s", profile, res.Denied, out.String())
				}
				assert.Contains(t, out.String(), p.prints, profile)
			}
		})
	}
}

// findTools looks for programs where the composed root shows them, and returns
// the PATH with which a job finds them.
func findTools(names string) (path string, ok bool) {
	dirs := []string{"/usr/local/go/bin", "/usr/local/bin", "/usr/bin", "/bin"}
	for name := range strings.FieldsSeq(names) {
		if !slices.ContainsFunc(dirs, func(dir string) bool {
			st, err := os.Stat(filepath.Join(dir, name))
			return err == nil && st.Mode().IsRegular() && st.Mode()&1 != 0
		}) {
			return "", false
		}
	}
	return strings.Join(dirs, ":"), true
}
