package bench

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/jailrun/jailrun/sandbox"
)

// The part of an OCI bundle's config.json that is needed here, of the runtime
// specification 1.0.2.
type (
	ociConfig struct {
		Version  string     `json:"ociVersion"`
		Process  ociProcess `json:"process"`
		Root     ociRoot    `json:"root"`
		Hostname string     `json:"hostname"`
		Mounts   []ociMount `json:"mounts"`
		Linux    ociLinux   `json:"linux"`
	}
	ociProcess struct {
		User            map[string]int `json:"user"`
		Args            []string       `json:"args"`
		Env             []string       `json:"env"`
		Cwd             string         `json:"cwd"`
		NoNewPrivileges bool           `json:"noNewPrivileges"`
	}
	ociRoot struct {
		Path     string `json:"path"`
		Readonly bool   `json:"readonly"`
	}
	ociMount struct {
		Destination string   `json:"destination"`
		Type        string   `json:"type,omitempty"`
		Source      string   `json:"source"`
		Options     []string `json:"options,omitempty"`
	}
	ociMap struct {
		Container int `json:"containerID"`
		Host      int `json:"hostID"`
		Size      int `json:"size"`
	}
	ociLinux struct {
		UIDMappings []ociMap            `json:"uidMappings"`
		GIDMappings []ociMap            `json:"gidMappings"`
		Namespaces  []map[string]string `json:"namespaces"`
		MaskedPaths []string            `json:"maskedPaths"`
	}
)

// oci is an OCI runtime with a bundle of the same mounts. A bundle that could
// not be made shows when it is run.
func (s *shape) oci(_ context.Context, runtime, dir string) *contender {
	_ = s.writeBundle(dir)
	return &contender{
		Name: runtime, About: runtime + " run, rootless, with a bundle of the same mounts",
		argv:     []string{runtime, "--root", filepath.Join(dir, "state"), "run", "--bundle", dir, "bench-" + runtime},
		Isolates: []string{sixNamespaces, sameRoot, procMasks, noCaps},
		Lacks:    []string{pidOne + " (the job is pid 1)", filter, rlimits, sysctls, timeNamespace, cow, etc, streams, result},
	}
}

func (s *shape) writeBundle(dir string) error {
	root := filepath.Join(dir, "rootfs")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	for _, l := range s.links {
		if err := os.Symlink(l[1], filepath.Join(root, l[0])); err != nil {
			return err
		}
	}
	bind := []string{"rbind", "ro", "nosuid", "nodev"}
	c := ociConfig{
		Version:  "1.0.2",
		Process:  ociProcess{User: map[string]int{"uid": 0, "gid": 0}, Args: []string{job}, Env: sandbox.DefaultEnv(), Cwd: sandbox.WorkDir, NoNewPrivileges: true},
		Root:     ociRoot{"rootfs", true},
		Hostname: "jail",
		Mounts: []ociMount{
			{"/proc", "proc", "proc", nil},
			{"/dev", "tmpfs", "tmpfs", []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{sandbox.WorkDir, "bind", s.work, bind},
		},
		Linux: ociLinux{UIDMappings: []ociMap{{0, os.Getuid(), 1}}, GIDMappings: []ociMap{{0, os.Getgid(), 1}}},
	}
	for _, b := range s.binds {
		c.Mounts = append(c.Mounts, ociMount{b, "bind", b, bind})
	}
	for _, d := range dirs {
		c.Mounts = append(c.Mounts, ociMount{d, "tmpfs", "tmpfs", []string{"nosuid", "nodev"}})
	}
	for _, m := range s.masks {
		c.Linux.MaskedPaths = append(c.Linux.MaskedPaths, m.target)
	}
	for _, ns := range []string{"user", "mount", "pid", "ipc", "uts", "network"} {
		c.Linux.Namespaces = append(c.Linux.Namespaces, map[string]string{"type": ns})
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644)
}
