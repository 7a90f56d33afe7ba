package main

import "github.com/jailrun/jailrun/sandbox/plain"

// quote renders a word of the command line for a message.
func quote(s string) string { return plain.Quote(s, 200) }
