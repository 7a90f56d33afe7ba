package sandbox

import (
	"path/filepath"
	"strings"

	"github.com/jailrun/jailrun/fs"
)

// A CopyIn is a file or directory of the caller's that the job gets a copy of.
type CopyIn struct {
	Source string // outside; relative to Spec.Dir
	// Target is the place inside, absolute; one that ends in a slash is the
	// directory that receives it. Directories above it are made.
	Target string
}

// A CopyOut is a file or directory of the job's that the caller gets a copy of.
//
// Only regular files and directories are copied; what else there is, links
// among it, is counted in [Collected]. No link is followed, in Source neither.
// All that a run copies is together at most as much as Limits.Disk and
// Limits.Inodes, by apparent size.
type CopyOut struct {
	Source string // inside, absolute or relative to [WorkDir]
	// Target is outside, relative to the caller's directory; "" is the last part
	// of Source there. A file of that name is removed before the job starts; of
	// a directory only an empty one is taken. A name that ends in .tar gets a
	// tar of Source.
	Target string
}

// Collected is what came of a CopyOut, Diff or ExportLayer.
type Collected struct {
	What    string   `json:"what"` // copy-out, diff or export-layer
	Source  string   `json:"source,omitempty"`
	Target  string   `json:"target"`
	Files   int      `json:"files"`
	Bytes   int64    `json:"bytes"`
	Skipped int      `json:"skipped,omitempty"` // entries that are not regular files, or could not be read
	Why     []string `json:"why,omitempty"`     // the first of them
	Error   string   `json:"error,omitempty"`   // nothing was written
}

// source is the place inside of a CopyOut.
func (c *CopyOut) source() (string, bool) {
	if !strings.HasPrefix(c.Source, "/") {
		if c.Source == "" {
			return "", false
		}
		return fs.Clean(WorkDir + "/" + c.Source)
	}
	return fs.Clean(c.Source)
}

// target is the name outside.
func (c *CopyOut) target() string {
	if c.Target == "" {
		return filepath.Base(filepath.Clean(c.Source))
	}
	if strings.HasSuffix(c.Target, "/") {
		return c.Target + filepath.Base(filepath.Clean(c.Source))
	}
	return c.Target
}

func (c *CopyOut) tar() bool { return strings.HasSuffix(c.target(), ".tar") }

// collects reports whether files of the job's are wanted when it is over.
func (s *Spec) collects() bool {
	return len(s.CopyOut) > 0 || s.Diff != "" || s.ExportLayer != ""
}

// checkFiles checks what goes in and comes out.
func checkFiles(s *Spec) error {
	for i := range s.CopyIn {
		if c := &s.CopyIn[i]; c.Source == "" {
			return fieldError("copy-in", c.Target, "has no source")
		} else if _, ok := fs.Clean(c.Target); !ok {
			return fieldError("copy-in", c.Target, "the place inside must be absolute and not /, /proc or /dev")
		}
	}
	for i := range s.CopyOut {
		c := &s.CopyOut[i]
		place, ok := c.source()
		if !ok {
			return fieldError("copy-out", c.Source, "the place inside must not be empty, /, /proc or /dev")
		}
		if name := filepath.Base(c.target()); name == "." || name == ".." || name == "/" {
			return fieldError("copy-out", c.Source, "%s needs a name outside: SRC:DST", place)
		}
	}
	if s.composed() {
		// They are bound, not stacked: they belong to ids that the job does not
		// have, so it could change nothing in them.
		const needs = "needs a root of layers, --rootfs DIR or an image; the host's own directories are none: "
		switch {
		case len(s.Layers) > 0:
			return fieldError("layer", s.Layers[0], needs+"show it with --bind %s:/opt/NAME", s.Layers[0])
		case s.Upper != "":
			return fieldError("upper", s.Upper, needs+"keep what is written to a directory with --bind DIR:/data:rw")
		case s.ExportLayer != "":
			return fieldError("export-layer", s.ExportLayer, needs+"bring files out with --copy-out or --diff")
		}
	}
	if s.Upper != "" && s.ReadOnlyRoot {
		return fieldError("upper", s.Upper, "keeps what is written to the root, which --ro-root forbids")
	}
	return nil
}
