package fs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An Image is what a launch needs to know of an imported image: a small file of
// the store, so that a start reads no JSON and costs the same whatever the size
// of the image.
type Image struct {
	ID     string   // digest of the image's configuration, "sha256:" and 64 hex digits
	Layers []string // names of directories in [Store.Layers], bottom to top
	// Over is the one that the tar of a root becomes as a layer over others,
	// where what it deletes has a meaning; "" for an image, and where the store
	// cannot keep that.
	Over string
	// What the image asks for; empty where it asks for nothing.
	Env             []string // K=V
	Workdir         string   // absolute
	User            string   // "UID:GID"
	Entrypoint, Cmd []string
	Users           Users // of its layers, cut to MostUsers each
}

// imageHead is the first line of the file; another number is another format.
const imageHead = "jailrun-image 1"

// MaxLayers is the most an image may have: as many as Docker takes. The names of
// so many layers fit into the page of options that mount(2) takes.
const MaxLayers = 127

// ErrImageFile reports a file of the store that cannot be read.
var ErrImageFile = errors.New("is no image file of this version of jailrun")

// Encode returns the file's content: a head line, then one key and one quoted
// value a line.
func (m *Image) Encode() []byte {
	b := []byte(imageHead + "\n")
	add := func(key string, values ...string) {
		for _, v := range values {
			b = append(append(b, key...), ' ')
			b = append(strconv.AppendQuote(b, v), '\n')
		}
	}
	one := func(key, value string) {
		if value != "" {
			add(key, value)
		}
	}
	one("id", m.ID)
	add("layer", m.Layers...)
	one("over", m.Over)
	add("env", m.Env...)
	one("workdir", m.Workdir)
	one("user", m.User)
	add("entrypoint", m.Entrypoint...)
	add("cmd", m.Cmd...)
	one("passwd", m.Users.Passwd)
	one("group", m.Users.Group)
	return b
}

// DecodeImage reads such a file. What goes into the options of a mount is
// checked: a layer is named by hex digits only.
func DecodeImage(text string) (*Image, error) {
	head, rest, ok := strings.Cut(text, "\n")
	if !ok || head != imageHead {
		return nil, ErrImageFile
	}
	m := &Image{}
	for line := range strings.Lines(rest) {
		key, quoted, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("%w: line %q", ErrImageFile, line)
		}
		switch key {
		case "id":
			m.ID = value
		case "layer":
			m.Layers = append(m.Layers, value)
		case "over":
			m.Over = value
		case "env":
			m.Env = append(m.Env, value)
		case "workdir":
			m.Workdir = value
		case "user":
			m.User = value
		case "entrypoint":
			m.Entrypoint = append(m.Entrypoint, value)
		case "cmd":
			m.Cmd = append(m.Cmd, value)
		case "passwd":
			m.Users.Passwd = value
		case "group":
			m.Users.Group = value
		default:
			return nil, fmt.Errorf("%w: line %q", ErrImageFile, line)
		}
	}
	return m, m.check()
}

// Directories are those of [Store.Layers] that the image needs.
func (m *Image) Directories() []string {
	if m.Over == "" || slices.Contains(m.Layers, m.Over) {
		return m.Layers
	}
	return append(slices.Clone(m.Layers), m.Over)
}

func (m *Image) check() error {
	if !IsDigest(m.ID) {
		return fmt.Errorf("%w: id %q", ErrImageFile, m.ID)
	}
	if len(m.Layers) == 0 || len(m.Layers) > MaxLayers {
		return fmt.Errorf("%w: %d layers", ErrImageFile, len(m.Layers))
	}
	for _, l := range m.Directories() {
		if len(l) != layerDigits || !isHex(l) {
			return fmt.Errorf("%w: layer %q", ErrImageFile, l)
		}
	}
	return nil
}

// layerDigits is how much of a digest names a layer's directory: 96 bits, which
// nobody finds a second layer for. The whole digest stands beside the layer, and
// an import compares it.
const layerDigits = 24

const digestPrefix = "sha256:"

// LayerName names the directory of a layer, by the digest of its uncompressed
// tar, which must be one ([IsDigest]).
func LayerName(diffID string) string {
	return diffID[len(digestPrefix) : len(digestPrefix)+layerDigits]
}

// WithoutRepeats leaves of layers, bottom to top, only the topmost of those that
// are one directory, as the empty ones of an image often are: an overlay refuses
// a directory that it has already (ELOOP). Nothing else shows: what a layer has
// or hides the same layer further up has and hides again.
func WithoutRepeats(layers []string) []string {
	seen := make(map[string]bool, len(layers))
	kept := make([]string, 0, len(layers))
	for _, l := range slices.Backward(layers) {
		if !seen[l] {
			seen[l] = true
			kept = append(kept, l)
		}
	}
	slices.Reverse(kept)
	return kept
}

// IsDigest tells whether s is a SHA-256 digest as images write it.
func IsDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, digestPrefix)
	return ok && len(hex) == 64 && isHex(hex)
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}
