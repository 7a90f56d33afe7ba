package attack

import "golang.org/x/sys/unix"

const lookupDcookie = unix.SYS_LOOKUP_DCOOKIE

// abiAttacks: 32-bit ARM has no door from a 64-bit program.
func abiAttacks() []Attack { return nil }
