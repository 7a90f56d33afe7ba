package image

import "strings"

// Bounds of one name. Whatever is in a layer can be opened, walked and removed
// with a few hundred descriptors.
const (
	maxPath  = 4095 // bytes, PATH_MAX less the NUL
	maxName  = 255  // bytes of one component, NAME_MAX
	maxDepth = 250  // components
)

const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = ".wh..wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// entryName returns the name of a tar entry relative to the layer, "." for the
// layer itself. It refuses what a careless reader would put elsewhere.
func entryName(s string) (string, error) {
	switch {
	case s == "":
		return "", refuse("has no name")
	case s[0] == '/':
		return "", refuse("its name is absolute")
	case len(s) > maxPath:
		return "", refuse("its name is longer than %d bytes", maxPath)
	case strings.IndexByte(s, 0) >= 0:
		return "", refuse("its name holds a NUL byte")
	}
	// Most names are as they should be already.
	clean := make([]byte, 0, len(s))
	depth := 0
	for part := range strings.SplitSeq(s, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return "", refuse("its name has .. in it")
		case len(part) > maxName:
			return "", refuse("a part of its name is longer than %d bytes", maxName)
		}
		if depth++; depth > maxDepth {
			return "", refuse("it lies deeper than %d directories", maxDepth)
		}
		if len(clean) > 0 {
			clean = append(clean, '/')
		}
		clean = append(clean, part...)
	}
	if depth == 0 {
		return ".", nil
	}
	return string(clean), nil
}

// splitName separates the directory, "." for the layer itself, from the last
// component.
func splitName(name string) (dir, base string) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return ".", name
}

// whiteoutOf returns the name that a whiteout entry deletes. isMeta tells of the
// bookkeeping files of AUFS, which mean nothing here.
func whiteoutOf(base string) (deleted string, isWhiteout, isMeta bool, err error) {
	deleted, isWhiteout = strings.CutPrefix(base, whiteoutPrefix)
	switch {
	case !isWhiteout:
		return "", false, false, nil
	case strings.HasPrefix(base, whiteoutMeta):
		return "", true, base != whiteoutOpaque, nil
	case deleted == "" || deleted == "." || deleted == "..":
		return "", true, false, refuse("it deletes nothing that can be")
	}
	return deleted, true, false, nil
}
