// jailrun-net gives a job of jailrun's a user-mode network: see package netserver.
package main

import "github.com/jailrun/jailrun/cmd/internal/netserver"

func main() { netserver.Main(nil) }
