package netslirp_test

import (
	"context"
	"fmt"

	"github.com/jailrun/jailrun/netslirp"
	"github.com/jailrun/jailrun/sandbox"
)

// A job that may reach one service, and nothing else.
func Example() {
	allow, err := netslirp.ParseAllow("198.51.100.7:443/tcp")
	if err != nil {
		fmt.Println(err)
		return
	}
	c := sandbox.Command("/usr/bin/curl", "-s", "https://198.51.100.7/")
	c.Network = netslirp.New(netslirp.Config{Allow: []netslirp.Allow{allow}})
	res, err := c.Run(context.Background())
	if err != nil {
		fmt.Println(err) // no slirp4netns, no /dev/net/tun
		return
	}
	fmt.Println(res.Verdict, string(res.Network))
}
