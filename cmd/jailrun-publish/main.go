// jailrun-publish is jailrun-net for jobs whose ports are published: see package
// netserver.
package main

import (
	"github.com/jailrun/jailrun/cmd/internal/netserver"
	"github.com/jailrun/jailrun/netslirp/ports"
)

func main() { netserver.Main(ports.Publish) }
