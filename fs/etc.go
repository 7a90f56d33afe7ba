package fs

// Fabricate returns the files below /etc that would tell of the host, made for
// this job: one host name, no resolver, and the users of its layers, among them
// one with the given ids. The one that no layer has is named job, or root.
func Fabricate(hostname, home string, uid, gid uint32, of Users) []File {
	file := func(name, text string) File { return File{Name: name, Content: []byte(text), Mode: 0o644} }
	return []File{
		file("passwd", of.passwd(home, uid, gid)),
		file("group", of.group(gid)),
		file("hosts", "127.0.0.1 localhost "+hostname+"\n::1 localhost\n"),
		file("hostname", hostname+"\n"),
		file("resolv.conf", "# no network\n"),
		file("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"),
		file("machine-id", ""),
	}
}
