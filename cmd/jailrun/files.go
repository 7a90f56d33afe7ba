package main

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
)

// addBind reads SRC[:DST][:OPTS]. The last part is options only if every word
// of it is one, so that no name of a file turns into a right.
func (r *request) addBind(value string) error {
	parts := strings.Split(value, ":")
	bind := sandbox.Bind{Source: parts[0]}
	if n := len(parts); n > 1 && areOptions(parts[n-1]) {
		if err := setOptions(&bind, strings.Split(parts[n-1], ",")); err != nil {
			return errors.New(quote(value) + ": " + err.Error())
		}
		parts = parts[:n-1]
	}
	switch {
	case bind.Source == "":
		return errors.New(quote(value) + " has no SRC; want SRC[:DST][:OPTS]")
	case len(parts) == 2 && strings.HasPrefix(parts[1], "/"):
		bind.Target = parts[1]
	case len(parts) == 2:
		return errors.New(quote(value) + ": " + quote(parts[1]) + " is neither a DST, which starts with /, nor OPTS of " + optionWords)
	case len(parts) > 2:
		return errors.New(quote(value) + " has too many colons; for such names: --mount src=SRC,dst=DST,ro")
	}
	r.spec.Binds = append(r.spec.Binds, bind)
	return nil
}

const optionWords = "ro, rw, noexec, optional, sockets"

func areOptions(part string) bool {
	for word := range strings.SplitSeq(part, ",") {
		switch word {
		case "ro", "rw", "noexec", "optional", "sockets":
		default:
			return false
		}
	}
	return true
}

func setOptions(bind *sandbox.Bind, options []string) error {
	readOnly := false
	for _, word := range options {
		switch word {
		case "ro":
			readOnly = true
		case "rw":
			bind.Writable = true
		case "noexec":
			bind.NoExec = true
		case "optional":
			bind.Optional = true
		case "sockets":
			bind.Sockets = true
		default:
			return errors.New("unknown option " + quote(word) + "; want " + optionWords)
		}
	}
	if readOnly && bind.Writable {
		return errors.New("both ro and rw")
	}
	return nil
}

// addMount reads src=SRC,dst=DST,OPTS as one record of CSV (RFC 4180), in
// which a name may hold anything.
func (r *request) addMount(value string) error {
	fields, err := csvFields(value)
	if err != nil {
		return errors.New(quote(value) + ": " + err.Error())
	}
	var bind sandbox.Bind
	var options []string
	for _, f := range fields {
		key, v, _ := strings.Cut(f, "=")
		switch key {
		case "src", "source":
			bind.Source = v
		case "dst", "target":
			bind.Target = v
		default:
			options = append(options, f)
		}
	}
	if err := setOptions(&bind, options); err != nil {
		return errors.New(quote(value) + ": " + err.Error())
	}
	switch {
	case bind.Source == "":
		return errors.New(quote(value) + " has no src=; want src=SRC,dst=DST,OPTS")
	case bind.Target != "" && bind.Target[0] != '/':
		return errors.New(quote(value) + ": dst does not start with /")
	}
	r.spec.Binds = append(r.spec.Binds, bind)
	return nil
}

// csvFields splits one record of CSV. A field that starts with a quote ends
// with one; inside, two stand for one.
func csvFields(s string) ([]string, error) {
	var fields []string
	for {
		if !strings.HasPrefix(s, `"`) {
			field, rest, more := strings.Cut(s, ",")
			fields = append(fields, field)
			if s = rest; !more {
				return fields, nil
			}
			continue
		}
		var field strings.Builder
		for s = s[1:]; ; {
			head, rest, closed := strings.Cut(s, `"`)
			if !closed {
				return nil, errors.New("a quote is not closed")
			}
			field.WriteString(head)
			if s = rest; !strings.HasPrefix(s, `"`) {
				break
			}
			field.WriteByte('"')
			s = s[1:]
		}
		fields = append(fields, field.String())
		switch {
		case s == "":
			return fields, nil
		case s[0] != ',':
			return nil, errors.New("text follows a closing quote")
		}
		s = s[1:]
	}
}

// addTmpfs reads DST[:SIZE].
func (r *request) addTmpfs(value string) error {
	target, tail, sized := strings.Cut(value, ":")
	if !strings.HasPrefix(target, "/") {
		return errors.New(quote(value) + " does not start with /; want DST[:SIZE]")
	}
	tmpfs := sandbox.Tmpfs{Target: target}
	if sized {
		if err := bound(&tmpfs.Size, tail); err != nil {
			return err
		}
	}
	r.spec.Tmpfs = append(r.spec.Tmpfs, tmpfs)
	return nil
}

// addFile reads DST=TEXT or DST=@FILE; TEXT may start with @ as @@.
func (r *request) addFile(value string) error {
	target, content, ok := strings.Cut(value, "=")
	if !ok || !strings.HasPrefix(target, "/") {
		return errors.New(quote(value) + ": want DST=TEXT or DST=@FILE, and a DST that starts with /")
	}
	f := sandbox.File{Target: target, Content: []byte(content)}
	if name, isName := strings.CutPrefix(content, "@"); isName {
		f.Content = []byte(name)
		if !strings.HasPrefix(name, "@") {
			var err error
			if f.Content, err = readFile(name); err != nil {
				return err
			}
		}
	}
	r.spec.Files = append(r.spec.Files, f)
	return nil
}

// readFile reads a file of the caller's that is held in memory. It is bounded:
// a wrong name may be that of a device or a disk image.
func readFile(name string) ([]byte, error) {
	const most = 16 * limits.MiB
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(data) > int(most) {
		err = &os.PathError{Op: "read", Path: name, Err: errors.New("more than " + most.Human() + "; show a large file with --bind")}
	}
	return data, err
}

func (r *request) setCWD(value string) error {
	switch value {
	case "cow":
		r.spec.CWD = sandbox.CWDCopy
	case "ro":
		r.spec.CWD = sandbox.CWDReadOnly
	case "rw":
		r.spec.CWD = sandbox.CWDWritable
	case "none":
		r.spec.CWD = sandbox.CWDNone
	default:
		return oneOf(value, "cow", "ro", "rw", "none")
	}
	return nil
}

func (r *request) setWorkdir(value string) error {
	if !strings.HasPrefix(value, "/") {
		return errors.New(quote(value) + " does not start with /; it is a directory inside (for one outside: -C)")
	}
	r.spec.Workdir = value
	return nil
}

// setRootfs takes a directory, an image by its name, or a file that an image is
// in. A word without a slash is a name.
func (r *request) setRootfs(value string) error {
	kind, rest, prefixed := strings.Cut(value, ":")
	switch {
	case prefixed && rest == "" || value == "":
		return errors.New(quote(value) + " names no image or directory")
	case prefixed && (kind == "docker" || kind == "docker-daemon" || kind == "oci-archive" || kind == "dir"):
		return errors.New(quote(value) + " is of an unknown kind; want oci:DIR[:TAG], docker-archive:FILE, a tar, a directory or the name of an image")
	}
	r.spec.Rootfs = value
	return nil
}
