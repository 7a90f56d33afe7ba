package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	jfs "github.com/jailrun/jailrun/fs"
)

// layerMeta is what the store keeps about a layer, besides the owners and modes
// of its entries, which stand in a file of their own.
type layerMeta struct {
	diffID  string
	bytes   int64
	entries int
	leftOut []string // what was not unpacked, the first few
	skipped int      // how many that were
	hides   int      // whiteouts in it
	// bottom: the layer itself is opaque. An overlay does not look for that at
	// its root (seen on Linux 6.18), so that nothing may be put below.
	bottom bool
}

func (m *layerMeta) encode() []byte {
	b := fmt.Appendf(nil, "jailrun-layer 1\ndiffid %s\nbytes %d\nentries %d\nskipped %d\nhides %d\n", m.diffID, m.bytes, m.entries, m.skipped, m.hides)
	if m.bottom {
		b = append(b, "bottom \n"...)
	}
	for _, l := range m.leftOut {
		b = fmt.Appendf(b, "left-out %s\n", quoted(l))
	}
	return b
}

func decodeLayerMeta(text string) (*layerMeta, error) {
	m := &layerMeta{}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		key, value, _ := strings.Cut(line, " ")
		var err error
		switch key {
		case "jailrun-layer":
			if i != 0 || value != "1" {
				return nil, fmt.Errorf("%w: %q", ErrFormat, line)
			}
		case "diffid":
			m.diffID = value
		case "bytes":
			m.bytes, err = strconv.ParseInt(value, 10, 64)
		case "entries":
			m.entries, err = strconv.Atoi(value)
		case "skipped":
			m.skipped, err = strconv.Atoi(value)
		case "hides":
			m.hides, err = strconv.Atoi(value)
		case "bottom":
			m.bottom = true
		case "left-out":
			value, err = strconv.Unquote(value)
			m.leftOut = append(m.leftOut, value)
		default:
			err = ErrFormat
		}
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
	}
	if !jfs.IsDigest(m.diffID) {
		return nil, fmt.Errorf("%w: no diffid", ErrFormat)
	}
	return m, nil
}

func (s *Store) layerMeta(name string) (*layerMeta, error) {
	b, err := os.ReadFile(s.Dir + "/meta/" + name)
	if err != nil {
		return nil, err
	}
	return decodeLayerMeta(string(b))
}

// have tells whether the store has a layer. A directory name is a part of the
// digest only: the whole of it is compared.
func (s *Store) have(name, diffID string) (*layerMeta, bool, error) {
	if _, err := os.Lstat(s.Layers() + "/" + name); errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, err
	}
	m, err := s.layerMeta(name)
	if err != nil {
		return nil, false, err
	}
	if m.diffID != diffID {
		return nil, false, fmt.Errorf("%w: the store has another layer that begins alike, %s", ErrDigest, m.diffID)
	}
	return m, true, nil
}

// An unpacking is a directory in tmp in which a layer, or a flat image, comes to
// be.
type unpacking struct {
	store *Store
	work  lock
	root  *os.File // work/tree
	ids   *os.File // work/ids
	u     *unpacker
}

func (s *Store) beginUnpacking(work lock, b *budget, flat bool) (*unpacking, error) {
	dir := work.f.Name()
	if err := os.Mkdir(dir+"/tree", 0o700); err != nil {
		return nil, err
	}
	root, err := os.Open(dir + "/tree")
	if err != nil {
		return nil, err
	}
	ids, err := os.OpenFile(dir+"/ids", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		root.Close()
		return nil, err
	}
	return &unpacking{store: s, work: work, root: root, ids: ids, u: &unpacker{
		tree: newTree(int(root.Fd()), flat), budget: b, ids: bufio.NewWriter(ids),
	}}, nil
}

func (p *unpacking) close() {
	p.u.tree.close()
	p.root.Close()
	p.ids.Close()
}

// add unpacks one layer and checks that it is what it was said to be. An empty
// digest is not known. It returns the digest of the tar.
func (p *unpacking) add(ctx context.Context, b blob, diffID string, tick func(int)) (string, error) {
	r, err := b.open(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	in := newStream(r, 2*p.u.budget.limits.Bytes, tick)
	defer in.close()
	if err := p.u.unpack(ctx, in); err != nil {
		return "", err
	}
	if diffID == "" && in.ended {
		// A file that was cut off between two entries. Of a layer the digest tells.
		return "", fmt.Errorf("%w: the archive is truncated: it has no end", ErrFormat)
	}
	packed, plain, err := in.digests()
	switch {
	case err != nil:
		return "", err
	case b.digest != "" && packed != b.digest:
		return "", fmt.Errorf("its file %w, %s: it has %s", ErrDigest, b.digest, packed)
	case diffID != "" && plain != diffID:
		return "", fmt.Errorf("its tar %w, %s: it has %s", ErrDigest, diffID, plain)
	}
	return plain, nil
}

// publish gives the tree its place in the store. All of it is on disk before it
// has a name there: a layer that exists is whole, whenever the machine stops.
func (p *unpacking) publish(name, diffID string) (*layerMeta, error) {
	u := p.u
	if err := u.tree.finish(); err != nil {
		return nil, err
	}
	if err := u.ids.Flush(); err != nil {
		return nil, err
	}
	if err := unix.Syncfs(int(p.root.Fd())); err != nil {
		return nil, os.NewSyscallError("syncfs", err)
	}
	m := &layerMeta{diffID: diffID, bytes: u.bytes, entries: u.entries, leftOut: u.leftOut, skipped: u.skipped, hides: len(u.tree.whiteouts) + u.tree.hidden, bottom: u.tree.dirs["."].opaque}
	s, dir := p.store, p.work.f.Name()
	if err := s.writeFile("meta/"+name, m.encode(), true); err != nil {
		return nil, err
	}
	if err := os.Rename(dir+"/ids", s.Dir+"/meta/"+name+".ids"); err != nil {
		return nil, err
	}
	if err := os.Rename(dir+"/tree", s.Layers()+"/"+name); err != nil {
		return nil, err
	}
	return m, syncDir(s.Layers())
}

// layer makes sure that the store has a layer.
func (s *Store) layer(ctx context.Context, b blob, diffID string, bud *budget, tick func(int)) (m *layerMeta, fresh bool, err error) {
	name := jfs.LayerName(diffID)
	if m, ok, err := s.have(name, diffID); ok || err != nil {
		return m, false, err
	}
	work, err := s.workDir(name)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, s.removeWork(work)) }()
	if m, ok, err := s.have(name, diffID); ok || err != nil {
		return m, false, err // another import was there first
	}
	p, err := s.beginUnpacking(work, bud, false)
	if err != nil {
		return nil, false, err
	}
	defer p.close()
	if _, err = p.add(ctx, b, diffID, tick); err == nil {
		m, err = p.publish(name, diffID)
	}
	return m, true, err
}
