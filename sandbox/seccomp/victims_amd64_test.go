package seccomp

import "golang.org/x/sys/unix"

// oldVictims are calls that newer architectures no longer have.
func oldVictims(*scene) []victim {
	return []victim{
		{"chmod setuid", func() error { return unix.Chmod("file", 0o4755) }, "", "EPERM", "EPERM"},
		{"chmod", func() error { return unix.Chmod("file", 0o755) }, "", "", ""},
		{"open setuid", func() error { return closing(unix.Open("newer", unix.O_CREAT|unix.O_WRONLY, 0o4755)) }, "", "EPERM", "EPERM"},
		{"creat setuid", func() error { return closing(unix.Creat("newest", 0o4755)) }, "", "EPERM", "EPERM"},
		{"mknod setuid", func() error { return unix.Mknod("oldnode", unix.S_IFREG|0o4755, 0) }, "", "EPERM", "EPERM"},
	}
}
