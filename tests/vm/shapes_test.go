package vm

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// property is what makes a shape that shape: what a script prints on such a host, and, as the control, on a plain one.
type property struct{ shape, script, plain, shaped string }

const group = `cd /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); `

func properties() []property {
	const (
		mkdir = group + `mkdir x 2>&1 && echo made`
		ns    = `unshare -Ur true 2>&1 && echo made`
	)
	return []property{
		{"memory-pids", delegatedGroup, "cpu memory pids", "memory pids"},
		{"cgroup-ro", mkdir, "made", "mkdir: cannot create directory ‘x’: Read-only file system"},
		{"undelegated", mkdir, "made", "mkdir: cannot create directory ‘x’: Permission denied"},
		// No internal processes: a group with processes hands down no controllers (EBUSY). Elsewhere the job could make
		// a group beside its own.
		{"subtree-root", group + `mkdir x; (echo +memory > cgroup.subtree_control) 2>/dev/null || echo busy
			mkdir ../y 2>&1 && echo made`, "busy\nmade", "busy\nmkdir: cannot create directory ‘../y’: Permission denied"},
		{
			"no-bus", `systemctl --user is-system-running >/dev/null 2>&1; echo $?; echo $XDG_RUNTIME_DIR $DBUS_SESSION_BUS_ADDRESS`,
			"0\n/run/user/12345 unix:path=/run/user/12345/bus", "1",
		},
		{"no-userns", ns, "made", "unshare: unshare failed: No space left on device"},
		{"no-userns-clone", ns, "made", "unshare: unshare failed: Operation not permitted"},
		{
			"masked-proc", `unshare -Urmpf mount -t proc proc /proc 2>&1 && echo mounted; head -c 1 /proc/sys/kernel/ostype`,
			"mounted\nL", "mount: /proc: permission denied.\n       dmesg(1) may have more information after failed mount system call.\nL",
		},
		{"swap", `tail -n +2 /proc/swaps | cut -d' ' -f1; awk '/SwapTotal/{print $2}' /proc/meminfo`, "0", "/home/.swap\n65532"},
		{"no-nsdelegate", `grep -o nsdelegate /proc/self/mountinfo || echo none`, "nsdelegate", "none"},
	}
}

// delegatedGroup prints the controllers, of those that every kernel has, in the group of the job or one from its user
// manager.
const delegatedGroup = `script='tr " " "\n" < /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cgroup.controllers | grep -xE "cpu|memory|pids" | xargs'
	if [ $JAILRUN_LANE = systemd ]; then
		systemd-run --user --scope --quiet -p Delegate=yes sh -c "$script"
	else
		sh -c "$script"
	fi`

func TestShapes(t *testing.T) {
	eachLane(t, func(t *testing.T, lane string) {
		t.Parallel()
		program := buildJailrun(t)
		dirs := []string{filepath.Dir(program)}
		plain := boot(t, Config{Lane: lane, ReadOnly: dirs})
		if lane != QEMU {
			t.Run("plain", func(t *testing.T) { assertWords(t, plain, lane, "", program) })
		}
		tested := 0
		for _, s := range Shapes() {
			if !slices.Contains(s.Lanes, lane) {
				continue
			}
			i := slices.IndexFunc(properties(), func(p property) bool { return p.shape == s.Name })
			require.GreaterOrEqual(t, i, 0, "no property of shape %s", s.Name)
			tested++
			p := properties()[i]
			t.Run(s.Name, func(t *testing.T) {
				_, out, errOut := run(t, plain, p.script)
				require.Equal(t, p.plain, strings.TrimSpace(out), "the control, on a plain host; %s", errOut)
				m := boot(t, Config{Lane: lane, Shape: s.Name, ReadOnly: dirs})
				_, out, errOut = run(t, m, p.script)
				assert.Equal(t, p.shaped, strings.TrimSpace(out), errOut)
				// A second job finds the same host.
				_, out, errOut = run(t, m, p.script)
				assert.Equal(t, p.shaped, strings.TrimSpace(out), errOut)
				if lane != QEMU { // which says the same, slowly
					assertWords(t, m, lane, s.Name, program)
				}
			})
		}
		assert.NotZero(t, tested)
	}, Systemd)
}

func TestUnknownShape(t *testing.T) {
	for _, c := range []Config{{Lane: UML, Shape: "round"}, {Lane: UML, Shape: "no-bus"}, {Lane: "vmware"}, {Lane: UML, Kernel: "x"}, {Lane: UML, User: User{Name: "root"}}} {
		_, err := Boot(t.Context(), c)
		assert.Error(t, err, "%+v", c)
	}
}
