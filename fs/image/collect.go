package image

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	jfs "github.com/jailrun/jailrun/fs"
)

// Collected is what a collection removed and kept.
type Collected struct {
	Images, Layers int
	Bytes          int64    // of the files of the layers removed
	InUse          []string // ids of images that go when the jobs that use them end
}

// Collect removes what nothing refers to: images without a name whose source has
// changed or is gone and that no job uses, layers of no image, and what crashed
// imports left. waiting, if not nil, is called when an import has to end first.
func (s *Store) Collect(waiting func()) (*Collected, error) {
	held, err := s.alone(waiting)
	if err != nil {
		return nil, err
	}
	got := &Collected{}
	err = s.collect(got)
	held.release()
	// What has been moved to tmp is nobody's: it is removed without the lock.
	return got, errors.Join(err, s.sweep())
}

func (s *Store) collect(got *Collected) error {
	if err := s.dropFiles(); err != nil {
		return err
	}
	err := s.eachSource(func(key, line string) bool {
		_, _, file, ok := parseSource(line)
		var st unix.Stat_t
		return ok && unix.Stat(file, &st) == nil && jfs.SourceKey(&st) == key
	})
	if err != nil {
		return err
	}
	kept, err := s.references()
	if err != nil {
		return err
	}
	files, err := os.ReadDir(s.Dir + "/images")
	if err != nil {
		return err
	}
	layers := map[string]bool{}
	for _, f := range files {
		m, err := s.collectImage("sha256:"+f.Name(), kept, got)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		for _, l := range m.Directories() {
			layers[l] = true
		}
	}
	return s.collectLayers(layers, got)
}

// dropFiles removes the small files that somebody died writing: nobody writes
// now.
func (s *Store) dropFiles() error {
	list, err := os.ReadDir(s.Dir + "/tmp")
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Type().IsRegular() {
			err = errors.Join(err, os.Remove(s.Dir+"/tmp/"+e.Name()))
		}
	}
	return err
}

// parseSource takes a line of a file of sources apart.
func parseSource(line string) (id, tag, file string, ok bool) {
	id, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	quotedTag, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return "", "", "", false
	}
	tag, _ = strconv.Unquote(quotedTag)
	file, err = strconv.Unquote(strings.TrimPrefix(rest[len(quotedTag):], " "))
	return id, tag, file, err == nil
}

// collectImage removes an image that nothing refers to, and returns one that
// stays.
func (s *Store) collectImage(id string, kept map[string]*refs, got *Collected) (*jfs.Image, error) {
	m, fd, err := s.OpenImage(id)
	if errors.Is(err, jfs.ErrImageFile) && kept[id] == nil {
		got.Images++
		return nil, os.Remove(s.Dir + "/images/" + hexOf(id))
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if kept[id] != nil {
		return m, nil
	}
	// A job that uses the image holds it shared.
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		got.InUse = append(got.InUse, id)
		return m, nil
	}
	if err != nil {
		return nil, os.NewSyscallError("flock", err)
	}
	got.Images++
	return nil, os.Remove(s.Dir + "/images/" + hexOf(id))
}

// collectLayers moves the layers of no image out of the way.
func (s *Store) collectLayers(used map[string]bool, got *Collected) error {
	list, err := os.ReadDir(s.Layers())
	if err != nil {
		return err
	}
	for _, l := range list {
		if used[l.Name()] {
			continue
		}
		if m, err := s.layerMeta(l.Name()); err == nil {
			got.Bytes += m.bytes
		}
		got.Layers++
		old, err := os.MkdirTemp(s.Dir+"/tmp", "old-")
		if err != nil {
			return err
		}
		if err := os.Rename(s.Layers()+"/"+l.Name(), old+"/tree"); err != nil {
			return err
		}
	}
	metas, err := os.ReadDir(s.Dir + "/meta")
	if err != nil {
		return err
	}
	for _, m := range metas {
		if name, _, _ := strings.Cut(m.Name(), "."); !used[name] {
			if err := os.Remove(s.Dir + "/meta/" + m.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}
