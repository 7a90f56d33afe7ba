package fs

import "strconv"

// Fabricate returns the files below /etc that would tell of the host, made for
// this job: a user named job with the given ids, one host name, no resolver.
func Fabricate(hostname, home string, uid, gid uint32) []File {
	u, g := strconv.FormatUint(uint64(uid), 10), strconv.FormatUint(uint64(gid), 10)
	passwd, group := "", ""
	if uid == 0 {
		passwd = "root:x:0:" + g + ":root:" + home + ":/bin/sh\n"
	} else {
		passwd = "root:x:0:0:root:/:/bin/sh\njob:x:" + u + ":" + g + ":job:" + home + ":/bin/sh\n"
	}
	if gid == 0 {
		group = "root:x:0:\n"
	} else {
		group = "root:x:0:\njob:x:" + g + ":\n"
	}
	file := func(name, text string) File { return File{Name: name, Content: []byte(text), Mode: 0o644} }
	return []File{
		file("passwd", passwd+"nobody:x:65534:65534:nobody:/:/bin/false\n"),
		file("group", group+"nogroup:x:65534:\n"),
		file("hosts", "127.0.0.1 localhost "+hostname+"\n::1 localhost\n"),
		file("hostname", hostname+"\n"),
		file("resolv.conf", "# no network\n"),
		file("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"),
		file("machine-id", ""),
	}
}
