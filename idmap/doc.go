// Package idmap is the arithmetic of user and group id maps: which id inside a
// user namespace stands for which id outside of it.
//
// It reads and writes three texts: the kernel's /proc/PID/uid_map, the
// subordinate id files /etc/subuid and /etc/subgid, and the values of --map and
// --user. It builds the maps of the three ways to be somebody else: [Self],
// [Auto] and [Block]. It opens no file and makes no system call; package userns
// does.
//
// One [Map] describes either users or groups; a namespace has one of each.
//
// All functions are pure and safe for concurrent use.
package idmap
