package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/jailrun/jailrun/sandbox"
)

// cacheKey names a step by all that its outputs depend on, "" if it is not to
// be cached: its fields, the content of its inputs, the root.
func (a *attempt) cacheKey() string {
	j := a.job
	if j.Cache == nil || !*j.Cache || a.o.Fresh {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "jailrun step 1\x00%s\x00", sandbox.Version)
	spec, root := a.spec, a.spec.Rootfs
	spec.Dir = "" // not seen
	h.Write(appendValue(nil, reflect.ValueOf(&spec).Elem()))
	fields := struct {
		Outputs        map[string]string
		Stdout, Stderr string
		Input          *string
		Stdin          string
	}{j.Outputs, j.Stdout, j.Stderr, j.Input, j.Stdin}
	h.Write(appendValue(nil, reflect.ValueOf(&fields).Elem()))
	if j.Stdin != "" && j.Stdin != "null" {
		f, err := a.open(j.Stdin)
		if err != nil {
			return ""
		}
		_, err = io.Copy(h, f)
		if f.Close(); err != nil {
			return ""
		}
	}
	for _, c := range spec.CopyIn {
		fmt.Fprintf(h, "%s\n", a.digests.files["copy "+c.Source])
	}
	for _, target := range slices.Sorted(maps.Keys(j.Inputs)) {
		fmt.Fprintf(h, "%q %s\n", target, a.sources[j.Inputs[target]])
	}
	for _, from := range append([]string{root}, spec.Layers...) {
		identity, err := rootIdentity(from)
		if err != nil {
			return "" // told by the launch
		}
		fmt.Fprintf(h, "%s\n", identity)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// rootIdentity stands for the content of a root, which is too large to be read:
// the id of an image, or the times of what a package manager changes. For the
// composed root those are the host's directories of programs and libraries,
// where every upgrade renames files and so sets a time.
func rootIdentity(root string) (string, error) {
	id, err := (&sandbox.Spec{Rootfs: root}).ImageID()
	if err != nil || id != "" {
		return id, err
	}
	if root != "" && root != "host" {
		return stamp(root) + stamp(root+"/usr") + stamp(root+"/usr/bin") + stamp(root+"/usr/lib"), nil
	}
	var text strings.Builder
	for _, dir := range [...]string{
		"/usr/bin", "/usr/lib", "/usr/lib64", "/usr/include", "/usr/local/bin", "/usr/local/lib", "/opt",
		"/var/lib/dpkg/status", "/usr/lib/sysimage/rpm", "/var/lib/rpm", "/lib/apk/db/installed", "/var/lib/pacman/local", "/nix/store",
	} {
		text.WriteString(stamp(dir))
	}
	return text.String(), nil
}

func stamp(path string) string {
	st, err := os.Stat(path)
	if err != nil {
		return path + " -\n"
	}
	return fmt.Sprintf("%s %d %d\n", path, st.Size(), st.ModTime().UnixNano())
}
