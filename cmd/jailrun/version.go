package main

import (
	"runtime"

	"github.com/jailrun/jailrun/sandbox"
)

func printVersion(say *console, args []string) int {
	if len(args) > 0 {
		return fail(say, "version takes no arguments", "")
	}
	return show(say, "jailrun "+sandbox.Version+" ("+runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH+")\n")
}
