package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notify returns the signals that end a batch. What our caller had ignored
// stays so: nohup, a background job of a script.
func notify() chan os.Signal {
	ch := make(chan os.Signal, 8)
	for _, s := range [...]os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(ch, s)
		}
	}
	return ch
}
