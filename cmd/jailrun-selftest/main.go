package main

import "os"

func main() {
	if code, ok := inside(os.Args[1:]); ok {
		os.Exit(code)
	}
}
