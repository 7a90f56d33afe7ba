package limits

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// session is a login as logind makes it: the group belongs to root.
func session() string {
	return "/user.slice/user-" + strconv.Itoa(os.Geteuid()) + ".slice/session-3.scope"
}

func userManager() string {
	uid := strconv.Itoa(os.Geteuid())
	return "/user.slice/user-" + uid + ".slice/user@" + uid + ".service"
}

// newSession is a kernel on which this process is in a session in which it may
// make no group, beside a user manager.
func newSession(t *testing.T) *fakeKernel {
	k := newFakeKernel(t, session())
	require.NoError(t, os.MkdirAll(filepath.Join(k.root, userManager()), 0o755))
	k.populate(filepath.Join(k.root, userManager()))
	k.refuse["mkdir"] = os.ErrPermission
	return k
}

// asking lets the manager be asked; it moves this process as asked.
func asking(k *fakeKernel, asked *string) func(*FindOptions) {
	return func(o *FindOptions) {
		o.Need, o.Evacuate, o.Manager = []string{"memory", "pids"}, true, true
		o.ask = func(unit string) error {
			*asked = unit
			place := userManager() + "/app.slice/" + unit
			require.NoError(k.t, os.MkdirAll(filepath.Join(k.root, place), 0o755))
			k.populate(filepath.Join(k.root, place))
			k.move(strconv.Itoa(os.Getpid()), filepath.Join(k.root, place, "cgroup.procs"))
			k.file("self/cgroup", "0::"+place+"\n")
			delete(k.refuse, "mkdir")
			return nil
		}
	}
}

func TestFindAsksTheManager(t *testing.T) {
	k, unit := newSession(t), ""
	s, err := find(t, k, asking(k, &unit))
	require.NoError(t, err)
	assert.Regexp(t, `^jailrun-\d+-777-0f1e2d3c-scope\.scope$`, unit)
	assert.Equal(t, filepath.Join(k.root, userManager(), "app.slice", unit), s.Path())
	assert.Positive(t, s.ScopeTook())
	assert.Equal(t, []int{os.Getpid()}, s.Evacuated(), "its own parent stays where it is")
	assert.Equal(t, strconv.Itoa(os.Getppid())+"\n", k.read(session()+"/cgroup.procs"))
}

// The manager is asked for what the user has of the controllers.
func TestFindAsksTheManagerForParts(t *testing.T) {
	k, unit := newSession(t), ""
	k.put(userManager()+"/cgroup.controllers", "memory pids\n")
	s, err := find(t, k, func(o *FindOptions) {
		asking(k, &unit)(o)
		o.Need, o.Parts = []string{"pids", "memory", "cpu"}, [][]string{{"pids", "memory"}}
	})
	require.NoError(t, err)
	assert.NotEmpty(t, unit)
	assert.Subset(t, s.Controllers(), []string{"memory", "pids"})
	require.ErrorContains(t, s.Lacks(), "cpu is not delegated to the user, only: memory pids")
	assert.Positive(t, s.ScopeTook())
}

// A scope lies beside the caller's group: whatever limits that would be shed.
func TestFindNeverShedsALimit(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fakeKernel)
		say    string
	}{
		"memory":     {func(k *fakeKernel) { k.put(session()+"/memory.max", "31457280\n") }, "is limited"},
		"high":       {func(k *fakeKernel) { k.put(session()+"/memory.high", "31457280\n") }, "is limited"},
		"pids":       {func(k *fakeKernel) { k.put(session()+"/pids.max", "100\n") }, "is limited"},
		"cpu":        {func(k *fakeKernel) { k.put(session()+"/cpu.max", "20000 100000\n") }, "is limited"},
		"cpuset":     {func(k *fakeKernel) { k.put(session()+"/cpuset.cpus", "0\n") }, "is limited"},
		"unreadable": {func(k *fakeKernel) { k.remake(session() + "/memory.max") }, "is limited"},
		"elsewhere":  {func(k *fakeKernel) { k.file("self/cgroup", "0::/system.slice/x.service\n") }, "does not lie in"},
		"not delegated": {
			func(k *fakeKernel) { k.put(userManager()+"/cgroup.controllers", "cpu pids\n") },
			"memory is not delegated to the user, only: cpu pids",
		},
	} {
		t.Run(name, func(t *testing.T) {
			k, unit := newSession(t), ""
			c.change(k)
			_, err := find(t, k, asking(k, &unit))
			require.ErrorContains(t, err, c.say)
			require.ErrorIs(t, err, ErrNotDelegated)
			assert.Empty(t, unit, "the manager was asked")
		})
	}
	k, unit := newSession(t), ""
	_, err := find(t, k, func(o *FindOptions) { asking(k, &unit)(o); o.Evacuate = false })
	require.ErrorContains(t, err, "which was not allowed")
	assert.Empty(t, unit)
}

// remake makes a file a directory, which cannot be read as one.
func (k *fakeKernel) remake(name string) {
	require.NoError(k.t, os.Remove(filepath.Join(k.root, name)))
	require.NoError(k.t, os.Mkdir(filepath.Join(k.root, name), 0o755))
}

// reply is a message as a manager sends it.
func reply(kind byte, replyTo uint32, member, failure string, body func(*wire)) []byte {
	var b, w wire
	if body != nil {
		body(&b)
	}
	w.b = append(w.b, 'l', kind, 1, 1)
	w.uint32(uint32(len(b.b)))
	w.uint32(1000 + replyTo)
	w.array(8, func() {
		if replyTo > 0 {
			w.align(8)
			w.byte(fieldReplySerial)
			w.signature("u")
			w.uint32(replyTo)
		}
		for code, text := range map[byte]string{fieldMember: member, fieldErrorName: failure} {
			if text != "" {
				w.align(8)
				w.byte(code)
				w.signature("s")
				w.string(text)
			}
		}
	})
	w.align(8)
	return append(w.b, b.b...)
}

func jobRemoved(job, result string) []byte {
	return reply(busSignal, 0, "JobRemoved", "", func(w *wire) {
		w.uint32(7)
		w.string(job)
		w.string("x.scope")
		w.string(result)
	})
}

func jobStarted(job string) []byte {
	return reply(busReturn, 4, "", "", func(w *wire) { w.string(job) })
}

// manager answers one client at a socket in the way given, and returns what it
// was asked.
func manager(t *testing.T, answer string, messages ...[]byte) (socket string, asked *bytes.Buffer) {
	socket = filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	asked = &bytes.Buffer{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		line := make([]byte, 256)
		n, _ := c.Read(line)
		asked.Write(line[:n])
		_, _ = io.WriteString(c, answer)
		for _, m := range messages {
			_, _ = c.Write(m)
		}
		_ = c.(*net.UnixConn).CloseWrite()
		_, _ = io.Copy(asked, c)
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return socket, asked
}

func TestAskBus(t *testing.T) {
	const ok = "OK 0123\r\n"
	const job = "/org/freedesktop/systemd1/job/7"
	for name, c := range map[string]struct {
		answer   string
		messages [][]byte
		want     string
	}{
		"done":                       {ok, [][]byte{reply(busReturn, 1, "", "", nil), jobStarted(job), jobRemoved("/other", "failed"), jobRemoved(job, "done")}, ""},
		"the signal comes first":     {ok, [][]byte{jobRemoved(job, "done"), jobStarted(job)}, ""},
		"the job fails":              {ok, [][]byte{jobStarted(job), jobRemoved(job, "failed")}, `the job for the scope ended as "failed"`},
		"refused":                    {ok, [][]byte{reply(busError, 4, "", "org.freedesktop.DBus.Error.AccessDenied", func(w *wire) { w.string("no\x1b") })}, `org.freedesktop.DBus.Error.AccessDenied: "no\x1b"`},
		"not authenticated":          {"REJECTED EXTERNAL\r\n", nil, `it answers "REJECTED EXTERNAL\r\n"`},
		"hangs up":                   {ok, nil, "the connection was closed"},
		"another byte order":         {ok, [][]byte{append([]byte{'B'}, make([]byte, 15)...)}, "not in the form of D-Bus"},
		"a body too long":            {ok, [][]byte{{'l', 2, 0, 1, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0}}, "not in the form of D-Bus"},
		"a field of an unknown kind": {ok, [][]byte{{'l', 2, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 9, 1, 'x', 0, 0, 0, 0, 0}}, "not in the form of D-Bus"},
	} {
		t.Run(name, func(t *testing.T) {
			socket, _ := manager(t, c.answer, c.messages...)
			err := askBus(socket, true, "x.scope")
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
	err := askBus(filepath.Join(t.TempDir(), "none"), true, "x.scope")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzBusMessage(f *testing.F) {
	f.Add(reply(busReturn, 4, "", "", func(w *wire) { w.string("/job") }))
	f.Add(jobRemoved("/job", "done"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m message
		err := m.readFields(data)
		if err != nil && !errors.Is(err, errBus) {
			t.Fatal(err)
		}
		r := reading{b: data}
		r.uint32()
		_ = r.string()
		if r.at > len(data) {
			t.Fatal("read beyond the end")
		}
	})
}
