// Package ports publishes ports of a job's network on the host. It is not part of
// package netslirp because what it is made of, rootlesskit's port drivers, brings
// net/http along, and that takes time at the start of every program that has it.
package ports

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/rootless-containers/rootlesskit/v3/pkg/port"
	"github.com/rootless-containers/rootlesskit/v3/pkg/port/slirp4netns"

	"github.com/jailrun/jailrun/netslirp"
)

var _ netslirp.Publisher = Publish

// Publish opens the ports of list on the host, for a job that has the address
// job, by rootlesskit's driver over the socket at api, which slirp4netns listens
// on. They are closed when slirp4netns ends. said takes what the driver says.
func Publish(ctx context.Context, api string, job netip.Addr, list []netslirp.Port, said io.Writer) error {
	d, err := slirp4netns.NewParentDriver(said, api)
	if err != nil {
		return err
	}
	for _, p := range list {
		_, err := d.AddPort(ctx, port.Spec{
			Proto: p.Proto.String(), ParentIP: p.IP.String(), ParentPort: int(p.Host), ChildIP: job.String(), ChildPort: int(p.Job),
		})
		if err != nil {
			return fmt.Errorf("publish %s: %w", p, err)
		}
	}
	return nil
}
