package main

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"
)

// addEnv reads K=V, or K for the caller's value.
func (r *request) addEnv(value string) error {
	name, _, set := strings.Cut(value, "=")
	if name == "" {
		return errors.New(quote(value) + " has no name; want K=V or K")
	}
	if !set {
		v, ok := os.LookupEnv(name)
		if !ok {
			return errors.New(name + " is not set here" + unreadNote(name) + "; want " + name + "=VALUE")
		}
		value = name + "=" + v
	}
	r.env = append(r.env, value)
	return nil
}

// unreadNote says why a variable may look unset to root.
func unreadNote(name string) string {
	if os.Geteuid() == 0 && ignoredAsRoot(name) {
		return " (as root jailrun reads no JAILRUN_, XDG_ and DBUS_ variables)"
	}
	return ""
}

// addEnvPass passes the caller's variables whose names match a pattern of *, ?
// and [a-z]. None is no error: the pattern is a filter.
func (r *request) addEnvPass(glob string) error {
	if _, err := path.Match(glob, ""); err != nil || glob == "" {
		return errors.New(quote(glob) + " is not a pattern; want letters, *, ? and [a-z]")
	}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if ok, _ := path.Match(glob, name); ok { // the pattern was tried above
			r.env = append(r.env, kv)
		}
	}
	return nil
}

// addEnvFile reads K=V or K a line; blank lines and those that start with #
// are skipped, and a value is taken as it stands, quotes included.
func (r *request) addEnvFile(name string) error {
	data, err := readFile(name)
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if trimmed := strings.TrimLeft(line, " \t"); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		err := r.addEnv(line)
		if strings.Contains(line, "\x00") {
			err = errors.New("holds a NUL byte")
		}
		if err != nil {
			return errors.New(name + ":" + strconv.Itoa(i+1) + ": " + err.Error())
		}
	}
	return nil
}
