package limits

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

// Victim is the process for which the kernel's OOM killer decided.
type Victim struct {
	PID  int    // in the first pid namespace
	Name string // comm, at most 15 bytes; the process chose it
}

// OOMVictim looks in the kernel's log for the first process that the OOM
// killer chose in the group. ok is false where the log may not be read
// (kernel.dmesg_restrict), or no longer holds the line. It reads the whole log,
// a microsecond a line, and is for a run that is known to have met the killer.
// It has to be called before Remove.
func (g *Group) OOMVictim() (v Victim, ok bool) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return v, false
	}
	defer unix.Close(fd)
	var record [8192]byte // the longest one, kmsg(4) of the kernel's documentation
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, record[:]) })
		switch {
		case errors.Is(err, unix.EPIPE): // overwritten while we read; the next read goes on
			continue
		case err != nil || n <= 0:
			return v, false
		}
		if v, ok = parseOOM(record[:n], g.name); ok {
			return v, true
		}
	}
}

// parseOOM reads a record of the OOM killer's about a process of the group:
//
//	6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/a/run-1,task_memcg=/a/run-1/job,task=python3,pid=7,uid=0
//
// The name of the process is the only part that the job chooses; it comes
// after the group, and is ended by the last ",pid=".
func parseOOM(record []byte, group string) (v Victim, ok bool) {
	_, line, found := bytes.Cut(record, []byte(";oom-kill:"))
	if !found {
		return v, false
	}
	line, _, _ = bytes.Cut(line, []byte{'\n'})
	_, line, found = bytes.Cut(line, []byte(",task_memcg="))
	place, line, found2 := bytes.Cut(line, []byte(",task="))
	end := bytes.LastIndex(line, []byte(",pid="))
	if !found || !found2 || end < 0 || !bytes.HasSuffix(bytes.TrimSuffix(place, []byte("/"+jobLeaf)), []byte("/"+group)) {
		return v, false
	}
	number, _, _ := bytes.Cut(line[end+len(",pid="):], []byte{','})
	pid, ok := parseUint(number)
	return Victim{PID: int(pid), Name: string(line[:end])}, ok
}
