package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	jfs "github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/idmap"
)

// openTar is the tar of a root. What it holds is known when it has been read.
func openTar(name string) (*found, error) {
	f, err := openFile(name)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &found{close: f.Close, layers: []blob{{size: st.Size(), open: func(context.Context) (io.ReadCloser, error) {
		_, err := f.Seek(0, io.SeekStart)
		return io.NopCloser(f), err
	}}}}, nil
}

// writeImage writes what a launch reads.
func (s *Store) writeImage(id string, layers []string, over string, c *v1.ConfigFile) error {
	m := &jfs.Image{
		ID: id, Layers: layers, Over: over, Workdir: c.Config.WorkingDir,
		Entrypoint: c.Config.Entrypoint, Cmd: c.Config.Cmd,
	}
	for _, kv := range c.Config.Env {
		if name, _, ok := strings.Cut(kv, "="); ok && name != "" && !strings.Contains(kv, "\x00") {
			m.Env = append(m.Env, kv)
		}
	}
	if m.Workdir != "" {
		m.Workdir = path.Clean("/" + m.Workdir)
	}
	passwd, err := s.fileOf("etc/passwd", layers)
	if err != nil {
		return err
	}
	group, err := s.fileOf("etc/group", layers)
	if err != nil {
		return err
	}
	m.User = userOf(c.Config.User, passwd, group)
	m.Users = jfs.Users{Passwd: jfs.WholeLines(passwd), Group: jfs.WholeLines(group)}
	old, err := os.ReadFile(s.Dir + "/images/" + hexOf(id))
	if err == nil && string(old) == string(m.Encode()) {
		return nil // jobs may hold the file that is there
	}
	return s.writeFile("images/"+hexOf(id), m.Encode(), false)
}

// userOf makes numbers of an image's user by the image's own /etc/passwd and
// /etc/group. A name that does not stand there stays as it is: who starts a job
// is told, and may choose another with --user.
func userOf(user, passwd, groups string) string {
	if user == "" {
		return ""
	}
	name, group, hasGroup := strings.Cut(user, ":")
	uid, gid := name, "0"
	for line := range strings.Lines(passwd) {
		if f := strings.Split(line, ":"); len(f) >= 4 && (f[0] == name || f[2] == name) {
			uid, gid = f[2], f[3]
			break
		}
	}
	if hasGroup {
		gid = group
		for line := range strings.Lines(groups) {
			if f := strings.Split(line, ":"); len(f) >= 3 && f[0] == group {
				gid = f[2]
				break
			}
		}
	}
	if _, err := idmap.ParseUser(uid + ":" + gid); err != nil {
		return user
	}
	return uid + ":" + gid
}

// fileOf reads a small file of an image, as the topmost layer that speaks of it
// has it; "" if there is none.
func (s *Store) fileOf(name string, layers []string) (string, error) {
	var dirs []string
	for _, l := range slices.Backward(layers) {
		dirs = append(dirs, s.Layers()+"/"+l)
	}
	text, _, err := jfs.TopFile(dirs, name, 1<<20)
	return text, err
}

// sourceLine is one image in a file of sources.
func sourceLine(id, tag, file string) string {
	return id + " " + quoted(tag) + " " + quoted(file) + "\n"
}

// settled is how old a change must be before the file's times tell a later one:
// the kernel's clock for files ticks every 1 to 10 ms.
const settled = 50 * time.Millisecond

// addSource remembers what came out of a file, so that the next launch need not
// look into it. One that has just been written is looked into once more.
func (s *Store) addSource(key string, src Source, id string) error {
	file := src.file()
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return &os.PathError{Op: "stat", Path: file, Err: err}
	}
	if jfs.SourceKey(&st) != key || time.Since(time.Unix(st.Ctim.Unix())) < settled {
		return nil
	}
	abs, err := absolute(file)
	if err != nil {
		return err
	}
	name := "sources/" + key
	old, err := os.ReadFile(s.Dir + "/" + name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var text strings.Builder
	text.WriteString(sourceLine(id, src.Tag, abs))
	for line := range strings.Lines(string(old)) {
		if _, rest, _ := strings.Cut(line, " "); !strings.HasPrefix(rest, quoted(src.Tag)+" ") {
			text.WriteString(line)
		}
	}
	if text.String() == string(old) {
		return nil
	}
	return s.writeFile(name, []byte(text.String()), false)
}

func absolute(name string) (string, error) {
	if path.IsAbs(name) {
		return path.Clean(name), nil
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("the directory of %q: %w", name, err)
	}
	return path.Join(wd, name), nil
}
